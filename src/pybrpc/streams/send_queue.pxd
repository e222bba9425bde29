cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf
from pybrpc.streams.gathered_frames cimport GatheredFrames
from pybrpc.transport.socket.socket cimport Socket
from pybrpc.transport.writing.backlog cimport Backlog
from pybrpc.transport.writing.write_request cimport WriteRequest, new_write_request


cdef class SendQueue:
    cdef object __weakref__
    cdef readonly bint _is_again
    cdef readonly bint _is_serving
    cdef readonly bint _is_waiting
    cdef readonly GatheredFrames _newest
    cdef readonly object _ready
    cdef readonly long long _unmarked
    cdef public long long begun
    cdef readonly GatheredFrames gathered
    cdef readonly object lock
    cdef readonly Socket socket
    cdef public long long unconsumed
    cdef public long long unwritten
    cdef readonly bint was_interrupted

    cpdef bint is_full(self) except -1
    cpdef long long note(self, Py_ssize_t size) except -1
    cpdef count(self, Py_ssize_t size)
    @cython.locals(backlog=Backlog, newest=GatheredFrames)
    cpdef GatheredFrames begin_gathered(self, IOBuf frames, long long marked)
    cpdef long long after_write(self, GatheredFrames gathered) except -1
    cpdef make_ready(self, object stream)
    @cython.locals(request=WriteRequest)
    cpdef write(self, IOBuf data, long long marked=*, GatheredFrames gathered=*)
    cpdef serve(self)
    cpdef give_up(self, object reason)
