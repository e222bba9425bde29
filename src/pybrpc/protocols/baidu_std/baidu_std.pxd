cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf, iobuf_of
from pybrpc.protocols.baidu_std.usual_frames cimport (
    cut_usual,
    pack_usual_request,
    pack_usual_response,
    usual_request,
    usual_response,
)
from pybrpc.protocols.message cimport RpcRequest, RpcResponse

cdef bint _IS_COMPILED
cdef Py_ssize_t _HEADER_SIZE
cdef Py_ssize_t _SMALL_SIZE


cdef class BaiduStd:
    @cython.locals(start=bytes, body_size=Py_ssize_t, meta_size=Py_ssize_t)
    cpdef object parse(self, IOBuf buffer, object limits)
    @cython.locals(frame=bytes)
    cpdef IOBuf pack_request(self, RpcRequest request)
    @cython.locals(frame=bytes)
    cpdef IOBuf pack_plain_request(
        self, object correlation_id, object service, object method, object timeout_ms, object body
    )
    @cython.locals(frame=bytes)
    cpdef IOBuf pack_response(self, RpcResponse response)
    @cython.locals(frame=bytes)
    cpdef IOBuf pack_plain_response(self, object correlation_id, object body)


@cython.locals(payload_start=Py_ssize_t, body_end=Py_ssize_t)
cdef object _parse_small(IOBuf buffer, Py_ssize_t body_size, Py_ssize_t meta_size)
cdef object _message(object meta, object body, object attachment)
cdef object _size_of(object attachment)
cdef IOBuf _with_attachment(IOBuf packed, object attachment)
cdef IOBuf _pack(bytes meta, object body, object attachment)
