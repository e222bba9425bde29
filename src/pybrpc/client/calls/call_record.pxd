cimport cython


cdef class CallRecord:
    cdef public str _failures
    cdef public double _started_at
    cdef public object _timeout_s
    cdef public object body
    cdef public object connection
    cdef public object controller
    cdef public double deadline
    cdef public object error
    cdef public object hedge
    cdef public object method
    cdef public object options
    cdef public object response
    cdef public object retried_count
    cdef public object source

    @cython.locals(left_s=double)
    cpdef object wire_timeout_ms(self)
    cpdef object message(self)
    cdef object _serialize(self, object request)
