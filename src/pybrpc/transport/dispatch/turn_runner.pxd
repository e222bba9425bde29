cimport cython
from pybrpc.transport.dispatch.fd_events cimport FdEvents
from pybrpc.transport.dispatch.step_queue cimport StepQueue
from pybrpc.transport.dispatch.timers cimport TimerHeap


cdef class TurnRunner:
    cdef bint _is_callers
    cdef readonly dict _long
    cdef object _name
    cdef readonly list _unhandled
    cdef readonly StepQueue completions
    cdef readonly StepQueue costly
    cdef readonly FdEvents fds
    cdef readonly object interruption
    cdef readonly bint is_sleeping
    cdef public object posted
    cdef readonly TimerHeap timers
    cdef readonly long long turns

    @cython.locals(events=list)
    cpdef run_turn(self, double longest_s, bint is_callers=*)
    cpdef bint has_work(self) except -1
    cpdef run_all(self)
    cpdef call(self, object function)
    @cython.locals(timeout_s=double)
    cdef list _poll(self, double longest_s, bint is_callers)
    cdef list _events_of_a_crowd(self)
    @cython.locals(
        fds=FdEvents,
        long=dict,
        is_timed=bint,
        mask=int,
        left=Py_ssize_t,
        began_at=double,
        stops_at=double,
        now=double,
    )
    cdef _run_ready(self, list events)
    @cython.locals(now=double)
    cdef _run_due_timers(self)
    @cython.locals(left=Py_ssize_t, stops_at=double)
    cdef _run_posted(self)
