cimport cython
from pybrpc.client.call cimport Call
from pybrpc.client.forms cimport BlockingCall, CallbackCall, FutureCall


cdef class StubMethod:
    cdef readonly object _channel
    cdef readonly object method

    cdef _prepare(self, Call call, object request, object timeout, object controller)
