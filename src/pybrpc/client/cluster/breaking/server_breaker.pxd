cdef class ServerBreaker:
    cpdef bint note(self, object outcome, double latency_s, double now) except -1
    cpdef reset(self, double now)
