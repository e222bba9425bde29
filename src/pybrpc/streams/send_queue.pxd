cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf
from pybrpc.transport.socket.socket cimport Socket
from pybrpc.transport.writing.backlog cimport Backlog
from pybrpc.transport.writing.write_request cimport WriteRequest, new_write_request


cdef class SendQueue:
    cdef readonly bint _is_again
    cdef readonly bint _is_serving
    cdef readonly bint _is_waiting
    cdef readonly object _ready
    cdef readonly long long _unmarked
    cdef readonly object lock
    cdef readonly object socket
    cdef public long long unconsumed
    cdef public long long unwritten

    cpdef bint is_full(self) except -1
    cpdef long long note(self, Py_ssize_t size) except -1
    cpdef make_ready(self, object stream)
    @cython.locals(request=WriteRequest)
    cpdef write(self, IOBuf data, long long marked=*)
    cpdef serve(self)
