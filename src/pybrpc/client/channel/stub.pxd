cimport cython
from pybrpc.client.calls.aio_calls cimport AioCall, LoopBinding, new_aio_call
from pybrpc.client.calls.sync_calls cimport (
    BlockingCall,
    CallbackCall,
    FutureCall,
    new_blocking_call,
    new_callback_call,
    new_future_call,
)


cdef class StubMethod:
    cdef readonly object _channel
    cdef readonly object method


cdef class AioStubMethod:
    cdef readonly object _channel
    cdef readonly object method


cdef object _timeout_s(object channel, object timeout, object controller)
cdef object _source(object channel)
@cython.locals(binding=LoopBinding)
cdef LoopBinding _binding(object channel)
