cimport cython
from pybrpc.base.gil_atomic cimport GilAtomicCounter


@cython.final
cdef class ClusterServer:
    cdef readonly object node
    cdef public double full_weight
    cdef public double weight
    cdef public bint is_usable
    cdef public object load
    cdef public object source
    cdef GilAtomicCounter _in_flight

    cpdef long long count_in_flight(self)
    cpdef begin(self)
    cpdef end(self)
