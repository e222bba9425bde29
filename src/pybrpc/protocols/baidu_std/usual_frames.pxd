cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf
from pybrpc.protocols.baidu_std.meta_codec cimport (
    decode_meta,
    encode_request_meta,
    encode_response_meta,
    request_of,
)
from pybrpc.protocols.message cimport RpcRequest, RpcResponse

cdef Py_ssize_t _SMALL_BODY
cdef Py_ssize_t _LARGEST_ATTACHMENT
cdef Py_ssize_t _ROOM
cdef Py_ssize_t _META_START
cdef Py_ssize_t _HEADER_SIZE
cdef Py_ssize_t _LONGEST_COPIED
cdef int _P
cdef int _R
cdef int _C
cdef dict _templates
cdef tuple _last
cdef dict _requests
cdef bytes _SUCCESS
cdef bytearray _DRAFT
cdef bint _IS_COMPILED


cpdef bytes pack_usual_request(RpcRequest request)
@cython.locals(template=bytes, last=tuple)
cpdef bytes usual_request(
    object correlation_id,
    object service,
    object method,
    object timeout_ms,
    object body,
    IOBuf attachment,
)
cpdef bytes pack_usual_response(RpcResponse response)
cpdef bytes usual_response(object correlation_id, object body, IOBuf attachment)
@cython.locals(
    blocks=list,
    block=bytes,
    data="const unsigned char *",
    start=Py_ssize_t,
    room=Py_ssize_t,
    body_size=Py_ssize_t,
    meta_size=Py_ssize_t,
)
cpdef object cut_usual(IOBuf buffer, object limits)
@cython.locals(
    data="const unsigned char *",
    tag=int,
    value=cython.ulonglong,
    shift=int,
    number=cython.ulonglong,
    correlation_id=cython.ulonglong,
    attachment_size=cython.longlong,
    before=Py_ssize_t,
    body_end=Py_ssize_t,
    compress_type=int,
    content_type=int,
    checksum_type=int,
    has_value=bint,
    request=tuple,
    asked=RpcRequest,
    answer=RpcResponse,
)
cdef object _read(IOBuf buffer, bytes block, Py_ssize_t at, Py_ssize_t meta_end, Py_ssize_t end)
cdef bytes _new_template(object service, object method, object timeout_ms)
cdef bytes _template_of(bytes meta)
@cython.locals(
    draft=bytearray,
    source="const unsigned char *",
    frame="unsigned char *",
    at=Py_ssize_t,
    size=Py_ssize_t,
    attachment_size=Py_ssize_t,
)
cdef bytes _fill(bytes template, object correlation_id, object body, IOBuf attachment)
cdef Py_ssize_t _put_varint(
    unsigned char *frame, Py_ssize_t at, unsigned long long number
) noexcept
@cython.locals(asked=RpcRequest)
cdef tuple _new_request(bytes field)
