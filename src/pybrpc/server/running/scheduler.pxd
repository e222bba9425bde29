cimport cython
from pybrpc.base.gil_atomic cimport GilAtomicCounter
from pybrpc.server.calls.call_queue cimport CallQueue


@cython.final
cdef class Scheduler:
    cdef object _ready
    cdef GilAtomicCounter _waiting

    cpdef put(self, CallQueue queue, list calls)
    cpdef put_back(self, CallQueue queue, object call)
    @cython.locals(queue=CallQueue)
    cpdef take(self)
    @cython.locals(removed=list)
    cpdef list remove(self, CallQueue queue, Py_ssize_t most)
    cpdef bint is_empty(self) except -1
    cpdef Py_ssize_t waiting(self) except -1
    cdef bint _ends_turn(self, CallQueue queue, object call) except -1
    cdef _unlist(self, CallQueue queue)
    cdef _forget(self, CallQueue queue)
