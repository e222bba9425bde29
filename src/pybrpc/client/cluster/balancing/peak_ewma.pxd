cimport cython


@cython.final
cdef class PeakEwma:
    cdef public double average_s
    cdef public double sampled_at

    @cython.locals(average_s=double, elapsed_s=double, kept=double, least_s=double)
    cpdef note(self, double latency_s, double now, double tau_s)
    @cython.locals(elapsed_s=double, latency_s=double, least_s=double)
    cpdef double latency_s(self, double now, double tau_s)
