cimport cython
from pybrpc.base.flags cimport WakeSignal
from pybrpc.base.gil_atomic cimport GilAtomicCounter
from pybrpc.transport.dispatch.relay cimport Relay


cdef class PollerRole


cdef class Waiter


cdef class ChainedWakeups:
    cdef readonly object _callers

    cpdef add(self, object caller)
    cpdef wake_next(self)
    @cython.locals(waiter=Waiter)
    cpdef WakeSignal take_signal(self)


cdef class Waiter:
    cdef PollerRole _role
    cdef readonly WakeSignal _signal
    cdef public bint is_gone
    cdef readonly bint is_over

    @cython.locals(role=PollerRole)
    cpdef end(self)
    @cython.locals(signal=WakeSignal)
    cpdef wake(self)
    @cython.locals(role=PollerRole, other=WakeSignal, signal=WakeSignal)
    cpdef bint sleep(self, double deadline) except -1


cdef class PollerRole:
    cdef GilAtomicCounter _background_work
    cdef bint _is_own_thread_waiting
    cdef readonly object _lock
    cdef Py_ssize_t _lost_looks
    cdef long long _lost_turns
    cdef Py_ssize_t _most_waiters
    cdef WakeSignal _own_thread_signal
    cdef Py_ssize_t _turns
    cdef readonly dict _waiters
    cdef readonly ChainedWakeups chain
    cdef readonly long long polling_thread
    cdef readonly Relay relay

    cpdef bint has_background_work(self) except -1
    cpdef bint require_polling(self) except -1
    cpdef release_polling(self)
    @cython.locals(waiter=Waiter)
    cpdef bint has_waiters(self) except -1
    cpdef bint is_vacant(self) except -1
    cpdef bint acquire(self) except -1
    cpdef release(self)
    cpdef pause(self)
    cpdef resume(self)
    cpdef wake_callers(self, bint may_relay)
    cpdef wait_for_relay(self)
    cpdef register(self, Waiter waiter)
    cpdef forget(self, Waiter waiter)
    cpdef wake_own_thread(self)
    cpdef bint should_give_way(self) except -1
