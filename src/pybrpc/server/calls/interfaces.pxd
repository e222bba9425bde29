from pybrpc.transport.socket.socket cimport Socket
from pybrpc.transport.writing.backlog cimport Backlog


cdef class CallConnection:
    cdef readonly object auth_context
    cdef readonly object identity
    cdef readonly object max_body_size
    cdef readonly object protocol
    cdef readonly Socket socket
    cdef readonly object tls
    cdef readonly Backlog unanswered

    cpdef bint is_gone(self) except -1
    cpdef release_limits(self, list calls)
    cpdef end(self, list calls)
