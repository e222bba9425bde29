cimport cython
from pybrpc.base.flags cimport WakeSignal


@cython.final
cdef class Relay:
    cdef Py_ssize_t _next_pause
    cdef Py_ssize_t _paused
    cdef WakeSignal _signal
    cdef readonly bint has_begun
    cdef readonly bint is_open

    @cython.locals(is_begun=bint)
    cpdef bint begin(self, Py_ssize_t callers) except -1
    @cython.locals(
        began_at=double,
        first=Py_ssize_t,
        left=Py_ssize_t,
        passed_s=double,
        is_stalled=bint,
        is_told=bint,
    )
    cpdef wait(self, object callers)
    cpdef end(self)
