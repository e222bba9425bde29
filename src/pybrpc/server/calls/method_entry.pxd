cimport cython
from pybrpc.rpc.body cimport MessageType
from pybrpc.server.calls.method_times cimport MethodTimes
from pybrpc.server.limiters.limiter cimport Limiter


@cython.final
cdef class MethodEntry:
    cdef Py_ssize_t _fast_calls
    cdef Py_ssize_t _fast_calls_needed
    cdef public bint cancel_handlers
    cdef public bint drop_expired
    cdef public bint enable_progressive_read
    cdef readonly object full_name
    cdef readonly object handler
    cdef readonly bint is_async
    cdef readonly bint is_generic
    cdef public Limiter limiter
    cdef public double mean_s
    cdef public Py_ssize_t inline_after_calls
    cdef public Py_ssize_t rejected
    cdef readonly MessageType request_type
    cdef readonly MessageType response_type
    cdef readonly set running
    cdef public MethodTimes times
    cdef public bint waits

    cpdef bint is_quick(self) except -1
    cpdef note_slow(self)
    cpdef note_duration(self, double seconds)
    cdef _note_fast(self)
