from pybrpc.protocols.message cimport RpcRequest, RpcResponse

cdef class MessageType:
    cdef readonly object message_class
    cdef readonly bint can_be_incomplete
    cdef object _serialize
    cdef object _from_string
    cdef bint _can_be_long
    cdef bint _was_long

    cpdef bint has(self, object message) except -1
    cpdef bint is_complete(self, object message) except -1
    cpdef object serialize(self, object message)
    cpdef object serialize_body(self, object message)
    cpdef object parse(self, object data)

cpdef object serialize_request(object request, MessageType request_type, object controller=*, object encoding=*)
cpdef object serialize_response(object response, MessageType response_type, object controller=*)
cpdef object check_response(object response, MessageType response_type)
cpdef object parse_request(RpcRequest request, MessageType request_type, object max_body_size=*)
cpdef object parse_response(RpcResponse response, MessageType response_type, object max_body_size=*)
cdef object _parse_plain(object body, MessageType message_type)
cdef object _parse(object carrier, MessageType message_type, object max_body_size)
