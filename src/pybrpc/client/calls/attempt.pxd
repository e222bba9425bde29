cimport cython
from pybrpc.transport.writing.write_request cimport WriteRequest


@cython.final
@cython.freelist(512)
cdef class Attempt:
    cdef public object call
    cdef public object connection
    cdef public object correlation_id
    cdef public object listeners
    cdef public object pick
    cdef public double sent_at
    cdef public WriteRequest write_request

    cpdef report(self, object code, object canceled_by=*)


@cython.locals(attempt=Attempt)
cpdef Attempt new_attempt(object call, object connection)
