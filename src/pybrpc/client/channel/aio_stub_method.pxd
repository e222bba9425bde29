cimport cython
from pybrpc.client.calls.aio_calls cimport AioCall, LoopBinding, new_aio_call
from pybrpc.client.channel.stub cimport timeout_s_of


cdef class AioStubMethod:
    cdef readonly object _channel
    cdef readonly object method


@cython.locals(binding=LoopBinding)
cdef LoopBinding _binding(object channel)
