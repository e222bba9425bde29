cimport cython


@cython.final
cdef class WakeSignal:
    cdef object _lock

    cpdef set(self)
    cpdef bint wait(self, double timeout_s=*) except -1
    cpdef bint wait_until(self, double deadline) except -1


@cython.final
cdef class OnceFlag:
    cdef object _lock

    cpdef bint try_set(self) except -1
    cpdef clear(self)
