cdef class SendLock:
    cdef object _acquire
    cdef readonly object _owner
    cdef object _release

    cpdef renew(self)
    cdef _wait(self)
