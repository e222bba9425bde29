from pybrpc.rpc.body cimport parse_response, serialize_request
from pybrpc.rpc.body cimport MessageType


cdef class Method:
    cdef readonly str service_name
    cdef readonly str name
    cdef readonly MessageType request_type
    cdef readonly MessageType response_type
    cdef readonly object encoding
    cdef readonly bint is_idempotent
    cdef readonly object index

    cpdef object serialize(self, object request, object controller)
    cpdef object parse(self, object response, object max_body_size)
