cimport cython
from pybrpc.base.gil_atomic cimport GilAtomicCounter
from pybrpc.iobuf.iobuf cimport IOBuf
from pybrpc.rpc.controller cimport Controller
from pybrpc.rpc.serving cimport HandlerThread, set_current_call
from pybrpc.server.calls.method_entry cimport MethodEntry
from pybrpc.server.calls.response_batch cimport ResponseBatch
from pybrpc.server.calls.server_call cimport ServerCall


@cython.final
cdef class Invoker:
    cdef object _start_parsed
    cdef readonly GilAtomicCounter expired
    cdef readonly object new_context

    @cython.locals(now=double)
    cpdef run(self, ServerCall call, ResponseBatch response_batch, HandlerThread thread)
    cpdef call_handler(self, ServerCall call, Controller controller)
    cpdef bint ends_unrun(self, ServerCall call) except -1
    @cython.locals(controller=Controller)
    cpdef IOBuf answer_if_late(self, ServerCall call, double now)
    cpdef refuse(self, ServerCall call, object error)
    @cython.locals(entry=MethodEntry, controller=Controller, now=double, seconds=double)
    cdef _run(
        self,
        ServerCall call,
        ResponseBatch response_batch,
        HandlerThread thread,
        double started_at,
    )
    @cython.locals(controller=Controller)
    cdef _parse(self, ServerCall call, ResponseBatch response_batch)


cdef object _handler_of(ServerCall call)
