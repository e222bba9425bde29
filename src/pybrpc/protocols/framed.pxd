cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf, iobuf_of
from pybrpc.protocols.frames cimport pack_frame, size_of
from pybrpc.protocols.message cimport RpcRequest, RpcResponse, new_request, new_response

cdef Py_ssize_t _SMALL_SIZE


cdef class FramedProtocol:
    cpdef object sizes_of(self, bytes header)
    cpdef tuple decode_meta(self, bytes meta)
    cpdef bytes encode_request(self, RpcRequest request, object attachment_size)
    cpdef bytes encode_response(self, RpcResponse response, object attachment_size)
    @cython.locals(header=bytes)
    cpdef object parse(self, IOBuf buffer, object limits)
    @cython.locals(meta=bytes)
    cpdef IOBuf pack_request(self, RpcRequest request)
    cpdef IOBuf pack_fast_request(
        self, object correlation_id, object service, object method, object timeout_ms, object body
    )
    @cython.locals(meta=bytes)
    cpdef IOBuf pack_response(self, RpcResponse response)
    cpdef IOBuf pack_fast_response(self, object correlation_id, object body)
    @cython.locals(magic=bytes)
    cdef bint _may_be_header(self, bytes start) except -1
    cdef object _parse_frame(
        self, IOBuf buffer, object meta_size, object payload_size, object limits
    )
    @cython.locals(meta_start=Py_ssize_t, start=Py_ssize_t, end=Py_ssize_t, frame=bytes)
    cdef object _parse_small(self, IOBuf buffer, Py_ssize_t meta_size, Py_ssize_t payload_size)
    cdef tuple _cut_head(self, IOBuf buffer, object meta_size)


cpdef bint is_bare_request(RpcRequest request) except -1
cpdef bint is_bare_response(RpcResponse response) except -1
cpdef object field_of(object meta, str name)
cpdef str text_of(bytes raw)
