cimport cython
from pybrpc.protocols.streaming.stream_frame cimport pack_feedback
from pybrpc.streams.send_side cimport SendSide


cdef class ReceiveSide(SendSide):
    cdef bint _has_idle_timeout
    cdef long long _max_message_size
    cdef long long _max_unread_bytes
    cdef list _parts
    cdef long long _parts_bytes
    cdef readonly list _received_waits
    cdef readonly long long _reported
    cdef readonly long long _taken
    cdef readonly object budget
    cdef readonly long long consumed
    cdef public object consumer
    cdef readonly bint needs_feedback
    cdef public double received_at
    cdef readonly object unread
    cdef readonly long long unread_bytes

    @cython.locals(held="long long", size="long long")
    cpdef on_data(self, bytes data, bint has_continuation)
    cdef str _excess(self, long long size)
    @cython.locals(size="long long", message=bytes, is_end=bint, feedback=bytes)
    cpdef bytes take(self)
    @cython.locals(size="long long", batch=list, is_end=bint, feedback=bytes)
    cpdef list take_batch(self, Py_ssize_t most)
    cdef bytes _pack_feedback(self)
    cdef bint _has_taking_consumer(self) except -1
