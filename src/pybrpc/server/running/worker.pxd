from pybrpc.base.flags cimport WakeSignal
from pybrpc.server.calls.response_batch cimport ResponseBatch


cdef class Worker:
    cdef public object followers
    cdef public bint is_running
    cdef readonly ResponseBatch response_batch
    cdef readonly object pool
    cdef public object task
    cdef public object thread
    cdef readonly WakeSignal wake_signal

    cdef _work(self)


cpdef run_task(object task, ResponseBatch response_batch)
