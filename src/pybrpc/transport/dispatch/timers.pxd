cimport cython


@cython.final
cdef class Timer:
    cdef readonly double deadline
    cdef public object function
    cdef readonly long long sequence


@cython.final
cdef class TimerHeap:
    cdef list _heap

    cpdef add(self, Timer timer)
    @cython.locals(heap=list, first=Timer)
    cpdef double seconds_to_next(self, double longest_s) except? -1
    @cython.locals(heap=list, first=Timer)
    cpdef object pop_due(self, double now)
