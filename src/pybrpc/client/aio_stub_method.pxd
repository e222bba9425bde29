cdef class AioStubMethod:
    cdef readonly object _channel
    cdef readonly object method
