cimport cython
from pybrpc.base.flags cimport OnceFlag, WakeSignal
from pybrpc.transport.dispatch.poller_role cimport PollerRole


cdef class StandbyPoller:
    cdef double _began_at
    cdef readonly long long _begun
    cdef readonly bint _is_asleep
    cdef OnceFlag _is_claimed
    cdef bint _is_ended
    cdef bint _is_urgent
    cdef dict _native_ids
    cdef double _offered_at
    cdef WakeSignal _signal
    cdef readonly long long claimed_by
    cdef readonly long long inline_thread
    cdef readonly bint is_waiting

    cpdef bint is_available(self) except -1
    cpdef begin_inline(self)
    cpdef bint is_handed_over(self) except -1
    cpdef bint end_inline(self) except -1
    cpdef hand_over_now(self)
    cpdef end(self)
    cpdef claim(self)
    @cython.locals(begun=cython.longlong, lasted_s=cython.double)
    cdef bint _is_overdue(self) except -1
    @cython.locals(left_s=cython.double)
    cdef double _seconds_until_overdue(self) except? -1
    cdef _sleep(self, long long begun)


cdef class InlineTasks:
    cdef list _begun
    cdef object _name
    cdef PollerRole _role
    cdef readonly bint has_standby
    cdef public bint is_open
    cdef readonly bint is_paused
    cdef readonly StandbyPoller standby
    cdef public object standby_thread
    cdef readonly list tasks

    cpdef bint add(self, object task) except -1
    @cython.locals(standby=StandbyPoller)
    cpdef bint run(self) except -1
    cdef _run_each(self, list tasks)
    cpdef resume(self)
    cpdef list take_begun(self)
