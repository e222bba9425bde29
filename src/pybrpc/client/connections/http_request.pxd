cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf
from pybrpc.protocols.http1.writer cimport RequestWriter


cdef class HttpRequest:
    cdef object _incoming
    cdef bint _is_given_up
    cdef readonly object body
    cdef readonly bint fails_by_status
    cdef readonly object headers
    cdef readonly bint is_progressive
    cdef readonly object method
    cdef readonly object target
    cdef readonly object upload

    cpdef bint keeps_connection(self, object head) except -1
    @cython.locals(writer=RequestWriter)
    cpdef IOBuf pack(self, object host, object credential=*, object span=*)
