cimport cython


cdef class LoopWakes:
    cdef object _calls
    cdef bint _is_debugged
    cdef bint _is_woken
    cdef object _loop
    cdef list _waiting

    cpdef put(self, object call)
