from pybrpc.streams.receive_side cimport ReceiveSide


cdef class StreamCore(ReceiveSide):
    cdef readonly list _ended_waits
    cdef readonly bint _requires_polling
    cdef bint _wants_rst
    cdef public bint is_touched
    cdef public object opening
