cimport cython
from pybrpc.base.gil_atomic cimport GilAtomicCounter

cdef class ChainedWakeups:
    cdef readonly object _sleepers

    cpdef add(self, object sleeper)
    cpdef wake_next(self)

cdef class Waiter:
    cdef PollerRole _seat
    cdef readonly object _turnstile
    cdef public bint is_gone
    cdef readonly bint is_over

    @cython.locals(seat=PollerRole)
    cpdef end(self)
    cpdef wake(self)
    cpdef bint sleep(self, double deadline) except -1


cdef class PollerRole:
    cdef GilAtomicCounter _attended
    cdef bint _is_napping
    cdef Py_ssize_t _most
    cdef object _nap
    cdef readonly object _taken
    cdef Py_ssize_t _turns
    cdef readonly dict _waiters
    cdef readonly ChainedWakeups chain
    cdef public long long driver

    cpdef bint has_background_work(self) except -1
    cpdef long long require_polling(self, long long amount) except? -1
    cpdef bint take(self) except -1
    cpdef leave(self)
    cpdef stop_driving(self)
    cpdef register(self, Waiter waiter)
    cpdef forget(self, Waiter waiter)
    cpdef bint should_give_way(self) except -1
