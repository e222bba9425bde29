cimport cython
from pybrpc.base.flags cimport OnceFlag
from pybrpc.transport.dispatch.poller_role cimport ChainedWakeups, PollerRole, Waiter
from pybrpc.transport.dispatch.standby cimport InlineTasks
from pybrpc.transport.dispatch.turn_runner cimport TurnRunner


cdef class EpollDispatcher:
    cdef object __weakref__
    cdef OnceFlag _close_once
    cdef readonly object _ended
    cdef readonly InlineTasks _inline
    cdef readonly bint _is_closing
    cdef readonly bint _is_started
    cdef long long _main_thread
    cdef object _name
    cdef readonly PollerRole _role
    cdef OnceFlag _run_once
    cdef readonly TurnRunner _runner
    cdef readonly object _shutdown_queue
    cdef OnceFlag _start_once
    cdef readonly object _thread

    cpdef bint is_current(self) except -1
    cpdef post(self, object function)
    cpdef bint run_after_turn(self, object task) except -1
    cpdef require_polling(self)
    cpdef release_polling(self)
    @cython.locals(role=PollerRole)
    cpdef bint wait(self, Waiter waiter, double deadline) except -1
    cdef bint _wait_without_polling(self, Waiter waiter, double deadline) except -1
    @cython.locals(role=PollerRole, left_s=double)
    cdef _poll_for(self, Waiter waiter, double deadline)
    @cython.locals(chain=ChainedWakeups)
    cdef _turn(self, double longest_s)
