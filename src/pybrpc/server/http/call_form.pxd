cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf, iobuf_of
from pybrpc.json2pb.json_to_pb cimport ReadPlan
from pybrpc.json2pb.pb_to_json cimport WritePlan
from pybrpc.protocols.message cimport RpcRequest, RpcResponse
from pybrpc.rpc.body cimport check_response
from pybrpc.rpc.controller cimport Controller
from pybrpc.rpc.http cimport HttpHeader, received_request
from pybrpc.server.calls.server_call cimport ServerCall
from pybrpc.server.http.exchange cimport HttpExchange
from pybrpc.server.http.request cimport HttpRequest
from pybrpc.server.http.resolved_head cimport ResolvedHead


cdef class MethodTraits:
    cdef readonly bint can_be_incomplete
    cdef readonly bint has_request_fields
    cdef readonly object message_class
    cdef readonly object options
    cdef ReadPlan _read_plan
    cdef WritePlan _write_plan

    @cython.locals(plan=ReadPlan)
    cdef ReadPlan read_plan(self)
    @cython.locals(plan=WritePlan)
    cdef WritePlan write_plan(self, object message)


cdef class CallFacts:
    cdef readonly bint accepts_gzip
    cdef readonly object form
    cdef readonly bint has_more
    cdef readonly bint has_plain_answer
    cdef readonly bint is_gzip
    cdef readonly object log_id
    cdef readonly object request_id
    cdef readonly object trace

    cpdef add_to(self, RpcRequest request)


@cython.freelist(256)
cdef class CallForm:
    cdef bint _has_generator
    cdef Controller _controller
    cdef HttpExchange _exchange
    cdef CallFacts _facts
    cdef HttpHeader _header
    cdef bint _is_async
    cdef object _queue
    cdef HttpRequest _request
    cdef readonly object made
    cdef MethodTraits _traits

    @cython.locals(request=HttpRequest, resolved=ResolvedHead, header=HttpHeader)
    cpdef prepare(self, Controller controller)
    @cython.locals(traits=MethodTraits, resolved=ResolvedHead)
    cpdef parse(self, ServerCall call, object limit_bytes)
    @cython.locals(traits=MethodTraits, plan=ReadPlan)
    cdef _parsed(self, bytes body)
    cdef _from_query(self)
    cpdef release(self)
    @cython.locals(made=HttpHeader)
    cpdef IOBuf pack(self, ServerCall call, Controller controller, object response)
    @cython.locals(made=HttpHeader)
    cdef object _plain_type(self, Controller controller, object default)
    @cython.locals(made=HttpHeader, data=IOBuf, head=bytes)
    cdef IOBuf _whole(self, Controller controller, object body, object content_type)
    @cython.locals(made=HttpHeader, controller=Controller)
    cpdef IOBuf pack_response(self, RpcResponse response)


@cython.locals(form=CallForm)
cpdef CallForm new_call_form(
    HttpRequest request,
    MethodTraits traits,
    CallFacts facts,
    HttpExchange exchange,
    bint is_async,
    object queue,
)
