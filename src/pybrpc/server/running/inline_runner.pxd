from pybrpc.server.calls.response_batch cimport ResponseBatch
from pybrpc.server.running.worker cimport run_task


cdef class InlineRunner:
    cdef object _dispatcher
    cdef bint _is_scheduled
    cdef ResponseBatch _responses
    cdef object _pool
