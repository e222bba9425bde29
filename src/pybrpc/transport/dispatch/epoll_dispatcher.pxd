cimport cython
from pybrpc.base.gil_atomic cimport GilAtomicCounter
from pybrpc.transport.dispatch.poller_role cimport PollerRole, Waiter


cdef class _Timer:
    cdef readonly double deadline
    cdef public object function
    cdef readonly long long sequence


cdef class EpollDispatcher:
    cdef object __weakref__
    cdef object _close_token
    cdef readonly object _ended
    cdef list _errands
    cdef list _errands_begun
    cdef readonly bint _has_relief
    cdef readonly bint _is_closing
    cdef readonly bint _is_sleeping
    cdef readonly bint _is_started
    cdef readonly object _shutdown_queue
    cdef long long _main_thread
    cdef bint _may_lend
    cdef object _name
    cdef object _poller
    cdef public object _posted
    cdef dict _readers
    cdef readonly object _relief
    cdef readonly object _relief_thread
    cdef object _run_token
    cdef readonly PollerRole _seat
    cdef object _start_token
    cdef readonly object _thread
    cdef list _timers
    cdef object _wake_fd
    cdef readonly set _wake_fds
    cdef object _wake_write_fd
    cdef GilAtomicCounter _wakers
    cdef dict _writers
    cdef readonly long long turns

    cpdef bint is_current(self) except -1
    cpdef post(self, object function)
    cpdef require_polling(self)
    cpdef release_polling(self)
    @cython.locals(seat=PollerRole)
    cpdef bint wait(self, Waiter waiter, double deadline) except -1
    cdef bint _wait_driven(self, Waiter waiter, double deadline) except -1
    @cython.locals(seat=PollerRole, left_s=double)
    cdef _drive_for(self, Waiter waiter, double deadline)
    cdef _wake(self)
    cdef _disturb(self)
    @cython.locals(timeout=double)
    cdef _turn(self, double longest_s)
    cdef list _poll(self, double timeout)
    @cython.locals(mask=int)
    cdef _run_ready(self, list events)
    @cython.locals(timers=list, first=_Timer, left_s=double)
    cdef double _seconds_to_next_timer(self, double longest_s) except? -1
    @cython.locals(now=double, first=_Timer)
    cdef _run_due_timers(self)
    cdef _call(self, object function)
