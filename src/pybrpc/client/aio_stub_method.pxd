cimport cython
from pybrpc.client.aio_forms cimport AioCall, AioCallOfThreads
from pybrpc.client.loop_side cimport LoopSide


cdef class AioStubMethod:
    cdef readonly object _channel
    cdef readonly object method

    @cython.locals(call=AioCall, side=LoopSide)
    cdef object _begin(self, object request, object timeout, object controller)
