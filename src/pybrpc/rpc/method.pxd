from pybrpc.rpc.body cimport parse_response, serialize_request


cdef class Method:
    cdef readonly str service_name
    cdef readonly str name
    cdef readonly object request_class
    cdef readonly object response_class
    cdef readonly object encoding

    cpdef object serialize(self, object request, object controller)
    cpdef object parse(self, object response, object max_body_size)
