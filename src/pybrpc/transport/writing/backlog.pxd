cimport cython
from pybrpc.base.gil_atomic cimport GilAtomicCounter
from pybrpc.transport.writing.process_backlog cimport ProcessBacklog

cdef long long _REQUEST
cdef long long _BYTES
cdef long long _NEVER


cdef class Backlog:
    cdef GilAtomicCounter _counted
    cdef bint _is_closed
    cdef long long _checks_from
    cdef long long _shares_from
    cdef object _waiters
    cdef bint _was_rejected_by_process
    cdef readonly long long high_water
    cdef public bint is_overcrowded
    cdef readonly long long low_water
    cdef readonly long long max_requests
    cdef readonly ProcessBacklog process

    cpdef bint is_empty(self) except -1
    @cython.locals(counted="long long")
    cpdef bint try_add(self, long long size, bint ignore_limit) except -1
    @cython.locals(left="long long")
    cpdef remove(self, long long size, long long requests)
    @cython.locals(after="long long")
    cpdef correct(self, long long difference)

    @cython.locals(held="long long")
    cdef bint _check_limits(self, long long counted, long long size, bint ignore_limit) except -1
    @cython.locals(process=ProcessBacklog)
    cdef bint _is_process_full(self) except -1
    cdef bint _is_over(self, long long held) except -1
    @cython.locals(held="long long")
    cdef _clear_if_low(self, long long counted)
    @cython.locals(process=ProcessBacklog)
    cdef _forget_process(self)
    cdef _share(self, long long before, long long after)
