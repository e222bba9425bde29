cimport cython


@cython.final
cdef class RetryTokens:
    cdef double _filled_at
    cdef double _max_tokens
    cdef double _min_per_s
    cdef double _min_tokens
    cdef double _ratio
    cdef double _tokens

    @cython.locals(tokens=double)
    cpdef note_call(self)
    @cython.locals(passed_s=double, tokens=double, of_time=double)
    cpdef bint take(self, double now) except -1
