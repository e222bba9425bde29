cimport cython
from pybrpc.base.gil_atomic cimport GilAtomicCounter
from pybrpc.transport.wake_chain cimport WakeChain


cdef class Waiter:
    cdef DriverSeat _seat
    cdef readonly object _turnstile
    cdef public bint is_gone
    cdef readonly bint is_over

    @cython.locals(seat=DriverSeat)
    cpdef end(self)
    cpdef wake(self)
    cpdef bint sleep(self, double deadline) except -1


cdef class DriverSeat:
    cdef GilAtomicCounter _attended
    cdef bint _is_napping
    cdef Py_ssize_t _most
    cdef object _nap
    cdef readonly object _taken
    cdef Py_ssize_t _turns
    cdef readonly dict _waiters
    cdef readonly WakeChain chain
    cdef public long long driver

    cpdef bint is_attended(self) except -1
    cpdef long long attend(self, long long amount) except? -1
    cpdef bint take(self) except -1
    cpdef leave(self)
    cpdef stop_driving(self)
    cpdef register(self, Waiter waiter)
    cpdef forget(self, Waiter waiter)
    cpdef bint should_give_way(self) except -1
