cimport cython
from pybrpc.client.call cimport Call
from pybrpc.client.loop_side cimport LoopSide


cdef class AioCall(Call):
    cdef readonly object _channel
    cdef readonly object _future
    cdef readonly LoopSide _side

    cpdef object begin(self, LoopSide side, object channel)
    @cython.locals(side=LoopSide)
    cpdef on_done(self)
    cpdef settle(self)


cdef class AioCallOfThreads(AioCall):
    cpdef object begin(self, LoopSide side, object channel)
    cpdef on_done(self)
