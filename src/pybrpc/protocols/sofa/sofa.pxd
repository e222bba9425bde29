cimport cython
from pybrpc.protocols.framed cimport (
    FramedProtocol,
    is_bare_request,
    is_bare_response,
    text_of,
)
from pybrpc.protocols.message cimport RpcRequest, RpcResponse, new_request, new_response


cdef class SofaPbrpc(FramedProtocol):
    cpdef object sizes_of(self, bytes header)
    cpdef tuple decode_meta(self, bytes meta)
    cpdef bytes encode_request(self, RpcRequest request, object attachment_size)
    cpdef bytes encode_response(self, RpcResponse response, object attachment_size)


@cython.locals(request=RpcRequest)
cdef tuple _request_of(object meta)
@cython.locals(response=RpcResponse)
cdef tuple _response_of(object meta)
cdef object _full_name(object service, object method)
cdef object _compress_type_of(object meta)
cdef object _number_of(object compress_type)
