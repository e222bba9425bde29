cimport cython
from pybrpc.base.flags cimport OnceFlag
from pybrpc.transport.dispatch.poller_role cimport ChainedWakeups, PollerRole, Waiter
from pybrpc.transport.dispatch.standby cimport InlineTasks
from pybrpc.transport.dispatch.step_queue cimport StepQueue, Work
from pybrpc.transport.dispatch.turn_runner cimport TurnRunner


cdef class EpollDispatcher:
    cdef object __weakref__
    cdef OnceFlag _close_once
    cdef readonly object _ended
    cdef Py_ssize_t _failed_polls
    cdef readonly InlineTasks _inline
    cdef readonly bint _is_closing
    cdef readonly bint _is_started
    cdef long long _main_thread
    cdef object _name
    cdef bint _refuses_work
    cdef readonly PollerRole _role
    cdef OnceFlag _run_once
    cdef readonly TurnRunner _runner
    cdef readonly object _shutdown_queue
    cdef OnceFlag _start_once
    cdef readonly object _thread

    cpdef bint is_current(self) except -1
    cpdef post(self, object function)
    cdef _wake(self)
    cpdef complete(self, Work work)
    cpdef post_costly(self, Work work)
    cdef _add_work(self, StepQueue queue, Work work)
    cpdef bint run_after_turn(self, object task) except -1
    cpdef require_polling(self)
    cpdef release_polling(self)
    cpdef bint expects_writes(self) except -1
    @cython.locals(role=PollerRole)
    cpdef bint wait(self, Waiter waiter, double deadline) except -1
    cdef bint _wait_without_polling(self, Waiter waiter, double deadline) except -1
    cdef bint _may_caller_poll(self) except -1
    @cython.locals(role=PollerRole, runner=TurnRunner, left_s=double)
    cdef _poll_for(self, Waiter waiter, double deadline)
    @cython.locals(chain=ChainedWakeups)
    cdef _turn(self, double longest_s, bint is_callers)
