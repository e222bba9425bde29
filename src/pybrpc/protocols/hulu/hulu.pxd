cimport cython
from pybrpc.protocols.framed cimport (
    FramedProtocol,
    field_of,
    is_bare_request,
    is_bare_response,
    text_of,
)
from pybrpc.protocols.message cimport RpcRequest, RpcResponse, new_request, new_response


cdef class HuluPbrpc(FramedProtocol):
    cpdef object sizes_of(self, bytes header)
    cpdef tuple decode_meta(self, bytes meta)
    @cython.locals(is_bare=bint)
    cpdef bytes encode_request(self, RpcRequest request, object attachment_size)
    cpdef bytes encode_response(self, RpcResponse response, object attachment_size)


cdef _add_ids(object meta, RpcRequest request)
@cython.locals(request=RpcRequest)
cdef tuple _request_of(object meta)
@cython.locals(response=RpcResponse)
cdef tuple _response_of(object meta)
cdef object _checked_compress_type(object number)
