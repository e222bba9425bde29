cimport cython
from pybrpc.protocols.message cimport RpcRequest
from pybrpc.server.calls.method_entry cimport MethodEntry
from pybrpc.server.calls.server_call cimport ServerCall, new_server_call
from pybrpc.server.connections.closing cimport ClosableConnection
from pybrpc.server.connections.server_core cimport ServerCore
from pybrpc.transport.socket.socket cimport Socket


cdef class ServerConnection(ClosableConnection):
    cdef bint _is_verified
    cdef public double active_at

    @cython.locals(received_at=double, calls=list, call=ServerCall)
    cpdef on_messages(self, Socket socket, list messages)
    cpdef release_limits(self, list calls)
    @cython.locals(server=ServerCore, call=ServerCall, size_bytes="long long")
    cpdef end(self, list calls)
    @cython.locals(server=ServerCore, entry=MethodEntry, call=ServerCall)
    cdef ServerCall _admit(self, RpcRequest request, double received_at)
