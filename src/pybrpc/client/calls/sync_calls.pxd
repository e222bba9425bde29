from pybrpc.client.calls.call cimport Call
from pybrpc.transport.dispatch.poller_role cimport Waiter


cdef class BlockingCall(Call):
    cdef readonly Waiter _waiter

    cpdef on_done(self)


cdef class FutureCall(Call):
    cdef readonly object _channel
    cdef readonly object _dispatcher
    cdef readonly object _future

    cpdef on_done(self)
    cdef _settle(self, object future)


cdef class CallbackCall(Call):
    cdef readonly object _channel
    cdef readonly object _dispatcher
    cdef readonly object _done

    cpdef begin(self, object done, object channel)
    cpdef on_done(self)
