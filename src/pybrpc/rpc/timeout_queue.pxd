cimport cython


cdef class TimeoutQueue:
    cdef readonly dict _calls
    cdef readonly object _dispatcher
    cdef readonly bint _is_armed
    cdef readonly object _key
    cdef readonly dict _late
    cdef readonly object _owner
    cdef readonly double timeout_s

    cpdef add(self, object call)
    cpdef bint discard(self, object call) except -1
    cdef _arm(self, object deadline)


cdef class TimeoutQueues:
    cdef readonly dict _queues
    cdef object _dispatcher
    cdef TimeoutQueue _last
    cdef object _maker

    @cython.locals(last=TimeoutQueue)
    cpdef TimeoutQueue of(self, double timeout_s)


cdef long long _key(double timeout_s)
