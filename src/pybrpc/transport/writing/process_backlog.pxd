cimport cython
from pybrpc.base.gil_atomic cimport GilAtomicCounter


cdef class ProcessBacklog:
    cdef GilAtomicCounter _chunks
    cdef object _limit_bytes
    cdef GilAtomicCounter _reserved
    cdef object _waiters
    cdef readonly long long chunk_bytes

    cpdef bint is_full(self) except -1
    @cython.locals(chunks="long long")
    cpdef move(self, long long before, long long after)
    cdef _wake_unless_full(self)
