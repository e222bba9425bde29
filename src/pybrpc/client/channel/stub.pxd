cimport cython
from pybrpc.client.calls.call cimport Call
from pybrpc.client.calls.sync_calls cimport BlockingCall, CallbackCall, FutureCall
from pybrpc.client.calls.aio_calls cimport AioCall, CrossThreadAioCall
from pybrpc.client.calls.aio_calls cimport LoopBinding

cdef class StubMethod:
    cdef readonly object _channel
    cdef readonly object method

    cdef _prepare(self, Call call, object request, object timeout, object controller)

cdef class AioStubMethod:
    cdef readonly object _channel
    cdef readonly object method

    @cython.locals(call=AioCall, side=LoopBinding)
    cdef object _begin(self, object request, object timeout, object controller)
