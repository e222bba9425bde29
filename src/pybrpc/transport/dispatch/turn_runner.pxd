cimport cython
from pybrpc.transport.dispatch.fd_events cimport FdEvents
from pybrpc.transport.dispatch.timers cimport TimerHeap


cdef class TurnRunner:
    cdef object _name
    cdef readonly FdEvents fds
    cdef readonly bint is_sleeping
    cdef public object posted
    cdef readonly TimerHeap timers
    cdef readonly long long turns

    @cython.locals(timeout_s=double)
    cpdef run_turn(self, double longest_s)
    cpdef run_posted(self)
    cpdef call(self, object function)
    @cython.locals(fds=FdEvents, mask=int)
    cdef _run_ready(self, list events)
    @cython.locals(now=double)
    cdef _run_due_timers(self)
