cimport cython


@cython.final
cdef class LatencyFeed:
    cdef object __weakref__
    cdef object _durations
    cdef Py_ssize_t _flush_at
    cdef bint _is_flushing
    cdef object _lock
    cdef object _recorder
    cdef list _values

    @cython.locals(values=list)
    cpdef record(self, long long latency_us)
    @cython.locals(values=list)
    cpdef record_s(self, double seconds)
    cpdef flush(self)
    cdef _flush_if_free(self)
    @cython.locals(values=list, tallies=list, durations=list, others=list, number=Py_ssize_t)
    cdef _move(self)
