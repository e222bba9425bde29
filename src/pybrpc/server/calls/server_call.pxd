cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf
from pybrpc.protocols.message cimport RpcRequest, RpcResponse
from pybrpc.rpc.body cimport parse_request, serialize_response
from pybrpc.rpc.controller cimport Controller
from pybrpc.server.calls.interfaces cimport CallConnection
from pybrpc.server.calls.method_entry cimport MethodEntry
from pybrpc.server.calls.response_batch cimport ResponseBatch
from pybrpc.transport.writing.backlog cimport Backlog


@cython.final
@cython.freelist(512)
cdef class ServerCall:
    cdef readonly CallConnection connection
    cdef readonly MethodEntry entry
    cdef readonly double received_at
    cdef readonly RpcRequest request
    cdef readonly long long size_bytes

    @cython.locals(entry=MethodEntry, controller=Controller, started_at=double, now=double)
    cpdef run(self, ResponseBatch response_batch)

    cpdef end(self)
    @cython.locals(controller=Controller, request=RpcRequest, connection=CallConnection)
    cpdef Controller make_controller(self)
    cpdef call_handler(self, Controller controller)
    @cython.locals(request=RpcRequest)
    cdef _parse(self)
    @cython.locals(unanswered=Backlog)
    cdef _parse_compressed(self, object max_body_size)
    cpdef fail(self, Controller controller, object error)
    cpdef IOBuf pack(self, Controller controller, object response)
    @cython.locals(backlog=Backlog, size=Py_ssize_t)
    cdef IOBuf _within_hard_limit(self, IOBuf response)
    @cython.locals(packed=RpcResponse)
    cdef IOBuf _pack_success(self, Controller controller, object response)


@cython.locals(call=ServerCall)
cpdef ServerCall new_server_call(
    CallConnection connection, RpcRequest request, MethodEntry entry, double received_at
)

@cython.locals(size="long long")
cpdef long long held_bytes(RpcRequest request) except -1
