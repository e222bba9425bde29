from pybrpc.protocols.message cimport RpcRequest, RpcResponse
from pybrpc.rpc.message_type cimport MessageType


cpdef object serialize_request(object request, MessageType request_type, object controller=*, object encoding=*)
cpdef object serialize_response(object response, MessageType response_type, object controller=*)
cpdef object parse_request(RpcRequest request, MessageType request_type, object max_body_size=*)
cpdef object parse_response(RpcResponse response, MessageType response_type, object max_body_size=*)
cdef object _parse_plain(object body, MessageType message_type)
cdef object _parse(object carrier, MessageType message_type, object max_body_size)
