cimport cython
from pybrpc.protocols.message cimport RpcRequest
from pybrpc.server.calls.server_call cimport ServerCall
from pybrpc.server.lifecycle.running_server cimport RunningServer
from pybrpc.server.calls.service_registry cimport MethodEntry
from pybrpc.transport.writing.backlog cimport Backlog
from pybrpc.transport.socket.message_cutter cimport MessageCutter
from pybrpc.transport.socket.socket cimport Socket


@cython.final
cdef class ServerConnection:
    cdef MessageCutter _cutter
    cdef bint _has_peer_ended
    cdef bint _is_verified
    cdef public double active_at
    cdef readonly object auth_context
    cdef readonly set calls
    cdef readonly object identity
    cdef readonly Backlog unanswered
    cdef readonly bint is_closing
    cdef readonly bint is_ended
    cdef readonly object max_body_size
    cdef readonly object protocol
    cdef readonly RunningServer run
    cdef readonly Socket socket
    cdef readonly object tls

    cpdef bint is_gone(self) except -1
    @cython.locals(received_at=double, calls=list, call=ServerCall)
    cpdef on_messages(self, Socket socket, list messages)
    cpdef leave(self, list calls)
    @cython.locals(call=ServerCall, size_bytes="long long")
    cpdef end(self, list calls)
    @cython.locals(run=RunningServer, entry=MethodEntry, call=ServerCall)
    cdef ServerCall _admit(self, RpcRequest request, double received_at)
