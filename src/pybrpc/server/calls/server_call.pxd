cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf
from pybrpc.protocols.message cimport RpcRequest, RpcResponse
from pybrpc.rpc.body cimport parse_request, serialize_response
from pybrpc.rpc.controller cimport Controller
from pybrpc.rpc.serving cimport ServedCall, new_served_call
from pybrpc.server.calls.interfaces cimport CallConnection
from pybrpc.server.calls.method_entry cimport MethodEntry
from pybrpc.tracing.switch cimport wants_server_span
from pybrpc.transport.writing.backlog cimport Backlog
from pybrpc.transport.writing.process_backlog cimport ProcessBacklog


@cython.final
@cython.freelist(512)
cdef class ServerCall:
    cdef public double admitted_at
    cdef readonly str cancel_reason
    cdef readonly CallConnection connection
    cdef readonly double deadline
    cdef readonly MethodEntry entry
    cdef public object error_code
    cdef public object form
    cdef public object message
    cdef public Py_ssize_t method_concurrency
    cdef public object packer
    cdef public Py_ssize_t position
    cdef readonly double received_at
    cdef public long long received_bytes
    cdef readonly RpcRequest request
    cdef public long long sent_bytes
    cdef readonly ServedCall served
    cdef public Py_ssize_t server_concurrency
    cdef public long long size_bytes
    cdef public object span
    cdef public object streams
    cdef public object task

    @cython.locals(entry=MethodEntry)
    cpdef object full_name(self)
    @cython.locals(request=RpcRequest)
    cpdef bint parses_long(self) except -1
    @cython.locals(served=ServedCall)
    cpdef serve(self)
    cpdef bint has_expired(self, double now) except -1
    cpdef end_serving(self)
    cpdef cancel_handler(self, str reason)
    cpdef end(self)
    @cython.locals(controller=Controller, request=RpcRequest, connection=CallConnection)
    cpdef Controller make_controller(self)
    @cython.locals(request=RpcRequest)
    cpdef parse(self)
    cdef _parse_body(self, object limit_bytes)
    cdef _parse_compressed(self, object max_body_size)
    @cython.locals(unanswered=Backlog, process=ProcessBacklog)
    cdef _parse_reserved(self, object limit_bytes, object most)
    cpdef fail(self, Controller controller, object error)
    @cython.locals(data=IOBuf, is_logged=bint)
    cpdef IOBuf pack(self, Controller controller, object response)
    @cython.locals(failure=RpcResponse, data=IOBuf)
    cdef IOBuf _pack_failure(self, Controller controller, bint is_logged)
    cdef IOBuf _pack_plain(self, RpcResponse failure)
    @cython.locals(backlog=Backlog, size=Py_ssize_t)
    cdef IOBuf _within_hard_limit(self, IOBuf response)
    @cython.locals(packed=RpcResponse, entry=MethodEntry)
    cdef IOBuf _pack_success(self, Controller controller, object response)
    cdef object _packer(self)
    cdef IOBuf _kept(self, IOBuf data)


@cython.locals(
    call=ServerCall, received_bytes="long long", timeout_ms="long long", is_traced=bint
)
cpdef ServerCall new_server_call(
    CallConnection connection, RpcRequest request, MethodEntry entry, double received_at
)

cdef IOBuf _packed_bytes(object data)

@cython.locals(size="long long")
cpdef long long held_bytes(RpcRequest request) except -1
