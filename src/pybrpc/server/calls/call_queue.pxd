cimport cython
from pybrpc.base.flags cimport OnceFlag


@cython.final
cdef class CallQueue:
    cdef readonly object calls
    cdef readonly OnceFlag is_listed
    cdef public double left_s
