cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf
from pybrpc.server.http.resolved_head cimport ResolvedHead


@cython.freelist(64)
cdef class HttpRequest:
    cdef public object auth_context
    cdef public IOBuf body
    cdef public bint is_discarded
    cdef public bint keep_alive
    cdef public object max_bytes
    cdef readonly Py_ssize_t position
    cdef readonly double received_at
    cdef readonly ResolvedHead resolved
    cdef public object sink
    cdef public Py_ssize_t status
    cdef public object trailers
    cdef public bint was_asked_on
