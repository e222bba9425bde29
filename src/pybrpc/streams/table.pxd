cimport cython
from pybrpc.protocols.streaming.stream_frame cimport StreamFrame
from pybrpc.streams.core cimport StreamCore
from pybrpc.streams.send_queue cimport SendQueue


cdef class StreamTable:
    cdef readonly object _abandoned
    cdef readonly object _answered
    cdef object _connection
    cdef object _on_late_answer
    cdef dict _owing
    cdef list _touched
    cdef readonly object budget
    cdef public object max_streams
    cdef public long long max_unconsumed_bytes
    cdef readonly object end_error
    cdef readonly SendQueue queue
    cdef readonly object socket
    cdef readonly dict streams

    @cython.locals(core=StreamCore, kind="long long")
    cpdef on_frame(self, StreamFrame frame)
    @cython.locals(core=StreamCore, touched=list)
    cpdef end_batch(self)
