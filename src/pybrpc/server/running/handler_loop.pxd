cimport cython
from pybrpc.base.once_posted cimport OncePosted
from pybrpc.iobuf.iobuf cimport IOBuf
from pybrpc.rpc.timeout_queue cimport TimeoutQueue, TimeoutQueues
from pybrpc.server.calls.call_queue cimport CallQueue
from pybrpc.server.calls.invoker cimport Invoker
from pybrpc.server.calls.method_entry cimport MethodEntry
from pybrpc.server.calls.response_batch cimport ResponseBatch
from pybrpc.server.calls.server_call cimport ServerCall
from pybrpc.server.running.scheduler cimport Scheduler


@cython.final
cdef class HandlerLoop:
    cdef Invoker _invoker
    cdef bint _is_closed
    cdef object _loop
    cdef ResponseBatch _responses
    cdef OncePosted _round
    cdef object _stop_task
    cdef object _thread
    cdef TimeoutQueues _timeouts
    cdef readonly set _waiting
    cdef readonly Scheduler scheduler

    cpdef start_calls(self, CallQueue queue, list calls)
    cpdef answer(self, ServerCall call, IOBuf data)
    cpdef put(self, ServerCall call, IOBuf data)
    @cython.locals(queue=TimeoutQueue)
    cpdef TimeoutQueue keep(self, ServerCall call, double now)
    cpdef forget(self, ServerCall call)
    @cython.locals(
        scheduler=Scheduler,
        call=ServerCall,
        entry=MethodEntry,
        left=Py_ssize_t,
        left_s=double,
        taken=ServerCall,
    )
    cdef _run_round(self)
    cdef _run_in_task(self, object calls)
    @cython.locals(call=ServerCall, queue=CallQueue)
    cdef _put_back(self, object calls)
    cdef _request_round(self)
