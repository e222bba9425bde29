from pybrpc.transport.write_request cimport WriteRequest


cdef class Attempt:
    cdef public object call
    cdef public object connection
    cdef public object correlation_id
    cdef public WriteRequest write_request
