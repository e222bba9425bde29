from pybrpc.client.forms cimport BlockingCall, CallbackCall, FutureCall


cdef class StubMethod:
    cdef readonly object _channel
    cdef readonly object method

    cdef tuple _arguments(self, object request, object timeout, object controller)
