from pybrpc.iobuf.iobuf cimport IOBuf
from pybrpc.server.calls.call_queue cimport CallQueue
from pybrpc.transport.socket.socket cimport Socket
from pybrpc.transport.writing.backlog cimport Backlog


cdef class CallConnection:
    cdef public CallQueue async_calls
    cdef readonly object auth_context
    cdef readonly set calls
    cdef readonly object identity
    cdef readonly object max_body_size
    cdef public CallQueue plain_calls
    cdef readonly object protocol
    cdef readonly object replies
    cdef readonly Socket socket
    cdef readonly object tls
    cdef readonly Backlog unanswered

    cpdef bint is_gone(self) except -1
    cpdef end(self, list calls, IOBuf data=*)
    cpdef on_calls_ended(self)
