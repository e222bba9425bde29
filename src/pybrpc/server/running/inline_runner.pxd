cimport cython
from pybrpc.rpc.serving cimport HandlerThread, handler_thread
from pybrpc.server.calls.response_batch cimport ResponseBatch
from pybrpc.server.running.scheduler cimport Scheduler
from pybrpc.server.running.worker_slots cimport WorkerSlots


cdef class InlineRunner:
    cdef object _dispatcher
    cdef object _invoker
    cdef bint _is_scheduled
    cdef ResponseBatch _responses
    cdef Scheduler _scheduler
    cdef WorkerSlots _slots
    cdef object _wake_worker

    @cython.locals(slots=WorkerSlots)
    cpdef bint will_run(self) except -1
    @cython.locals(
        scheduler=Scheduler,
        responses=ResponseBatch,
        thread=HandlerThread,
        may_begin=bint,
        stops_at=double,
    )
    cdef _run_calls(self, object is_handed_over)
    cdef bint _goes_on_later(self) except -1
