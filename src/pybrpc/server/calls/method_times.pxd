cimport cython
from pybrpc.metrics.latency_feed cimport LatencyFeed


@cython.final
cdef class MethodTimes:
    cdef object _feeds
    cdef tuple _latest
    cdef readonly object variables

    @cython.locals(feed=LatencyFeed)
    cpdef note(self, object protocol, object error_code, double seconds)
    cdef LatencyFeed _feed_of(self, object protocol, object error_code)
