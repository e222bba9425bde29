cimport cython
from pybrpc.client.attempt cimport Attempt
from pybrpc.client.call_record cimport CallRecord


cdef class Call(CallRecord):
    cdef public object _abort_error
    cdef public object _place
    cdef public object _timeout_queue

    cpdef on_done(self)
    cpdef start(self, bint expires=*)
    cpdef on_response(self, Attempt attempt, object response)
    cdef _carry_on(self, object connection=*)
    cdef object _look_for_connection(self)
    @cython.locals(attempt=Attempt)
    cdef _send(self, object connection)
    cpdef _end(self)
