cimport cython
from pybrpc.protocols.baidu_std.meta_codec cimport (
    decode_meta,
    encode_request_meta,
    encode_response_meta,
    request_of,
)
from pybrpc.protocols.message cimport RpcRequest, RpcResponse

cdef Py_ssize_t _SMALL_BODY
cdef Py_ssize_t _ROOM
cdef Py_ssize_t _META_START
cdef dict _templates
cdef dict _requests
cdef bytes _SUCCESS


@cython.locals(body=object, template=bytes)
cpdef bytes pack_usual_request(RpcRequest request)
cpdef bytes pack_usual_response(RpcResponse response)
@cython.locals(
    at=Py_ssize_t,
    tag=int,
    value=cython.ulonglong,
    shift=int,
    correlation_id=cython.ulonglong,
    compress_type=int,
    content_type=int,
    checksum_type=int,
    has_value=bint,
    request=tuple,
    asked=RpcRequest,
    answer=RpcResponse,
)
cpdef object read_usual(bytes frame, Py_ssize_t meta_end)
cdef bytes _new_template(RpcRequest request)
cdef bytes _template_of(bytes meta)
@cython.locals(frame=bytearray, at=Py_ssize_t, number=cython.ulonglong)
cdef bytes _fill(bytes template, object correlation_id, bytes body)
cdef int _put_size(bytearray frame, Py_ssize_t at, Py_ssize_t size) except -1
@cython.locals(asked=RpcRequest)
cdef tuple _new_request(bytes field)
