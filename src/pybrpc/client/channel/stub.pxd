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


cpdef object timeout_s_of(object channel, object timeout, object controller)
cdef object _source(object channel)
