cimport cython
from pybrpc.client.cluster.breaking.server_breaker cimport ServerBreaker


@cython.final
cdef class ServerHealth:
    cdef public ServerBreaker breaker
    cdef public object good
    cdef public bint is_down
    cdef public object isolation
    cdef public double latency_s
    cdef public object owner
    cdef public object state
    cdef public double since
    cdef public object trial
    cdef public object why

    @cython.locals(average=double)
    cpdef note_latency(self, double seconds)
