cimport cython
from pybrpc.base.gil_atomic cimport GilAtomicCounter


@cython.final
cdef class ClusterServer:
    cdef readonly object node
    cdef public double full_weight
    cdef public double weight
    cdef public object gate
    cdef public object health
    cdef public bint is_usable
    cdef public object load
    cdef public object source
    cdef bint _is_listed
    cdef GilAtomicCounter _uses

    cpdef long long count_in_flight(self)
    @cython.locals(uses=cython.longlong)
    cpdef bint begin(self) except -1
    cpdef bint end(self) except -1
    cpdef bint leave_list(self) except -1
