cdef class WakeChain:
    cdef readonly object _sleepers

    cpdef add(self, object sleeper)
    cpdef wake_next(self)
