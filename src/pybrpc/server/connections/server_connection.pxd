cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf
from pybrpc.protocols.message cimport RpcRequest
from pybrpc.server.calls.admission cimport Admission
from pybrpc.server.calls.call_end cimport write_answer
from pybrpc.server.calls.method_entry cimport MethodEntry
from pybrpc.server.calls.server_call cimport ServerCall, new_server_call
from pybrpc.server.connections.closing cimport ClosableConnection
from pybrpc.server.connections.server_core cimport ServerCore
from pybrpc.transport.socket.socket cimport Socket


cdef class ServerConnection(ClosableConnection):
    cdef bint _has_begun
    cdef bint _is_verified
    cdef readonly object _streams
    cdef object _end_error
    cdef public double active_at
    cdef readonly bint is_internal

    @cython.locals(received_at=double, calls=list)
    cpdef on_messages(self, Socket socket, list messages)
    @cython.locals(server=ServerCore)
    cpdef end(self, list calls, IOBuf data=*)
    @cython.locals(server=ServerCore)
    cpdef on_calls_ended(self)
    cpdef start_calls(self, list calls)
    @cython.locals(server=ServerCore, admission=Admission, entry=MethodEntry, call=ServerCall)
    cdef _admit(self, RpcRequest request, double received_at, list calls)
    cdef MethodEntry _entry_at_index(self, RpcRequest request)
    cdef MethodEntry _generic_entry(self, RpcRequest request)
