cdef class Limiter:
    cdef readonly bint learns
    cdef readonly str name

    cpdef long long limit(self) except -1
    cpdef bint admits(self, Py_ssize_t concurrency, long long timeout_ms, double now) except -1
    cpdef on_end(self, double now, double latency_s, Py_ssize_t concurrency, object error_code)
    cpdef str describe(self, long long timeout_ms)


cdef class ConstantLimiter(Limiter):
    cdef Py_ssize_t _limit
