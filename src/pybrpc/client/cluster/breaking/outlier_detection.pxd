cimport cython
from pybrpc.client.cluster.breaking.server_breaker cimport ServerBreaker


cdef class ErrorCounts(ServerBreaker):
    cdef long long _bucket
    cdef double _bucket_s
    cdef list _calls
    cdef readonly long long _consecutive
    cdef Py_ssize_t _count
    cdef list _errors
    cdef object _options

    @cython.locals(bucket=cython.longlong, index=Py_ssize_t, calls=cython.longlong)
    cpdef bint note(self, object outcome, double latency_s, double now) except -1
    cpdef reset(self, double now)
    @cython.locals(first=cython.longlong, old=cython.longlong)
    cdef _move_to(self, long long bucket)
