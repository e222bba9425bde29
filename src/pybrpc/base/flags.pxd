cimport cython
from pybrpc.base.gil_atomic cimport GilAtomicCounter


@cython.final
cdef class WakeSignal:
    cdef object _lock

    cpdef set(self)
    cpdef bint wait(self, double timeout_s=*) except -1
    cpdef bint wait_until(self, double deadline) except -1
    cpdef bint is_set(self) except -1


@cython.final
cdef class OnceFlag:
    cdef GilAtomicCounter _count

    cpdef bint try_set(self) except -1
    cpdef clear(self)
    cpdef bint is_set(self) except -1
