cimport cython
from pybrpc.metrics.latency_feed cimport LatencyFeed


@cython.final
cdef class CallTimes:
    cdef object __weakref__
    cdef object _endpoint
    cdef dict _feeds
    cdef bint _is_open
    cdef tuple _latest
    cdef object _lock
    cdef object _protocol
    cdef object _variables

    @cython.locals(feed=LatencyFeed)
    cpdef note(self, object method, object error, double seconds)
    cdef LatencyFeed _feed_of(self, object method, object error)
