cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf
from pybrpc.protocols.baidu_std.meta_decoder cimport decode_meta, request_of
from pybrpc.protocols.baidu_std.meta_encoder cimport encode_request_meta, encode_response_meta
from pybrpc.protocols.message cimport RpcRequest, RpcResponse, new_request, new_response

cdef Py_ssize_t _MAX_BODY
cdef Py_ssize_t _MAX_ATTACHMENT
cdef Py_ssize_t _HEADER_SIZE
cdef int _P
cdef int _R
cdef int _C


@cython.final
cdef class Template:
    cdef bytes _start
    cdef list _drafts

    @cython.locals(
        draft=bytearray,
        frame="unsigned char *",
        at=Py_ssize_t,
        size=Py_ssize_t,
        attachment_size=Py_ssize_t,
    )
    cdef bytes fill(self, object correlation_id, object body, IOBuf attachment)
    cdef bytearray _take_draft(self)
    cdef bytearray _new_draft(self)


cdef Py_ssize_t _put_varint(
    unsigned char *frame, Py_ssize_t at, unsigned long long number
) noexcept

cdef Template _success
cdef dict _templates
cdef tuple _last
cdef dict _parsed


cpdef clear_tables()
cpdef bint is_fast_request(RpcRequest request) except -1
cpdef bint is_fast_response(RpcResponse response) except -1
@cython.locals(template=Template, last=tuple)
cpdef bytes pack_fast_request(
    object correlation_id,
    object service,
    object method,
    object timeout_ms,
    object body,
    IOBuf attachment,
)
cpdef bytes pack_fast_response(object correlation_id, object body, IOBuf attachment)
@cython.locals(template=Template, request=RpcRequest)
cdef Template _template_of(object service, object method, object timeout_ms)
@cython.locals(
    blocks=list,
    block=bytes,
    data="const unsigned char *",
    at=Py_ssize_t,
    room=Py_ssize_t,
    body_size=Py_ssize_t,
    meta_size=Py_ssize_t,
    meta_end=Py_ssize_t,
    end=Py_ssize_t,
    field_end=Py_ssize_t,
    tag=int,
    size=int,
    field=bytes,
    request=tuple,
)
cpdef object parse_fast(IOBuf buffer, object limits)
@cython.locals(
    data="const unsigned char *",
    tag=int,
    value=cython.ulonglong,
    shift=int,
    number=cython.ulonglong,
    correlation_id=cython.ulonglong,
    attachment_size=cython.longlong,
    body_end=Py_ssize_t,
    request=RpcRequest,
    response=RpcResponse,
)
cdef object _parse_rest(
    IOBuf buffer,
    bytes block,
    Py_ssize_t at,
    Py_ssize_t meta_end,
    Py_ssize_t end,
    tuple asked,
)
@cython.locals(request=RpcRequest)
cdef tuple _parse_request(bytes field)
