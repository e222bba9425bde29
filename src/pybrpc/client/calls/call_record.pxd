cimport cython
from pybrpc.rpc.serving cimport ServedCall
from pybrpc.transport.dispatch.step_queue cimport Work


cdef class CallRecord(Work):
    cdef public double _ended_at
    cdef public object _failed_attempts
    cdef public double _started_at
    cdef public object _timeout_s
    cdef public object body
    cdef public object connection
    cdef public object controller
    cdef public double deadline
    cdef public object error
    cdef public object hedge
    cdef public bint is_blocking
    cdef public bint is_over
    cdef public object method
    cdef public object options
    cdef public object pick
    cdef public object response
    cdef public object retried_count
    cdef public ServedCall served
    cdef public object source
    cdef public object span

    @cython.locals(left_s=double)
    cpdef object wire_timeout_ms(self)
    cpdef object message(self)
    cpdef object try_message(self)
    cpdef object take_error(self)
    cpdef object get_hash_key(self)
    cdef _fill_guarded(self)
    cdef _inherit_deadline(self, ServedCall served)
    cdef object _serialize(self, object request)
