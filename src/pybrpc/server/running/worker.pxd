cimport cython
from pybrpc.base.flags cimport WakeSignal
from pybrpc.rpc.serving cimport HandlerThread
from pybrpc.server.calls.response_batch cimport ResponseBatch
from pybrpc.server.running.scheduler cimport Scheduler


cdef class Worker:
    cdef HandlerThread _handler_thread
    cdef object _invoker
    cdef object _on_started
    cdef Scheduler _scheduler
    cdef object _wait_for_work
    cdef public object call
    cdef public bint is_running
    cdef readonly ResponseBatch response_batch
    cdef public object thread
    cdef readonly WakeSignal wake_signal

    @cython.locals(scheduler=Scheduler, response_batch=ResponseBatch, thread=HandlerThread)
    cdef _work(self)
