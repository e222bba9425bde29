from pybrpc.server.outbox cimport Outbox
from pybrpc.server.worker cimport run_task


cdef class InPlace:
    cdef object _dispatcher
    cdef bint _is_lent
    cdef Outbox _outbox
    cdef object _pool
