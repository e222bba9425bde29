cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf, iobuf_of
from pybrpc.protocols.baidu_std.fast_frames cimport (
    is_fast_request,
    is_fast_response,
    pack_fast_request,
    pack_fast_response,
    parse_fast,
)
from pybrpc.protocols.baidu_std.meta_decoder cimport Meta, decode_meta, request_of, response_of
from pybrpc.protocols.baidu_std.meta_encoder cimport encode_request_meta, encode_response_meta
from pybrpc.protocols.frames cimport pack_frame, size_of
from pybrpc.protocols.message cimport RpcRequest, RpcResponse, new_request, new_response

cdef Py_ssize_t _HEADER_SIZE
cdef Py_ssize_t _SMALL_SIZE


cdef class BaiduStd:
    @cython.locals(start=bytes, body_size=Py_ssize_t, meta_size=Py_ssize_t)
    cpdef object parse(self, IOBuf buffer, object limits)
    @cython.locals(frame=bytes)
    cpdef IOBuf pack_request(self, RpcRequest request)
    @cython.locals(frame=bytes)
    cpdef IOBuf pack_fast_request(
        self, object correlation_id, object service, object method, object timeout_ms, object body
    )
    @cython.locals(frame=bytes)
    cpdef IOBuf pack_response(self, RpcResponse response)
    @cython.locals(frame=bytes)
    cpdef IOBuf pack_fast_response(self, object correlation_id, object body)


@cython.locals(
    meta=Meta, payload_start=Py_ssize_t, attachment_size=Py_ssize_t, body_end=Py_ssize_t
)
cdef object _parse_small(IOBuf buffer, Py_ssize_t body_size, Py_ssize_t meta_size)
cdef object _message(Meta meta, object body, object attachment)
cdef IOBuf _with_attachment(IOBuf packed, object attachment)
