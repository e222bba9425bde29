cimport cython
from pybrpc.base.gil_atomic cimport GilAtomicCounter


@cython.final
cdef class WorkerSlots:
    cdef GilAtomicCounter _taken
    cdef public object active_worker
    cdef readonly long long most

    cpdef bint has_room(self) except -1
    cpdef bint try_take(self) except -1
    cpdef release(self)
    cpdef Py_ssize_t taken(self) except -1
