cimport cython
from pybrpc.client.calls.call cimport Call

cdef class LoopBinding:
    cdef readonly bint crosses_threads
    cdef readonly object lease
    cdef readonly object loop
    cdef readonly object source
    cdef readonly BatchedCallbacks wakes

cdef class BatchedCallbacks:
    cdef object _calls
    cdef bint _is_debugged
    cdef bint _is_woken
    cdef object _loop
    cdef list _waiting

    cpdef put(self, object call)

cdef class AioCall(Call):
    cdef readonly object _channel
    cdef readonly object _future
    cdef readonly LoopBinding _side

    cpdef object begin(self, LoopBinding side, object channel)
    @cython.locals(side=LoopBinding)
    cpdef on_done(self)
    cpdef settle(self)


cdef class CrossThreadAioCall(AioCall):
    cpdef object begin(self, LoopBinding side, object channel)
    cpdef on_done(self)
