from pybrpc.protocols.message cimport RpcRequest, RpcResponse


cpdef object serialize_request(object request, object request_class, object controller=*, object encoding=*)
cpdef object serialize_response(object response, object response_class, object controller=*)
cpdef object parse_request(RpcRequest request, object request_class, object max_body_size=*)
cpdef object parse_response(RpcResponse response, object response_class, object max_body_size=*)
cdef object _parse_plain(object body, object message_class)
cdef object _parse(object carrier, object message_class, object max_body_size)
