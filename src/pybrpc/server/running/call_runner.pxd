cimport cython
from pybrpc.rpc.controller cimport Controller
from pybrpc.rpc.timeout_queue cimport TimeoutQueue
from pybrpc.server.calls.invoker cimport Invoker
from pybrpc.server.calls.server_call cimport ServerCall


cdef class CallRunner:
    cdef ServerCall _call
    cdef object _calls
    cdef object _context
    cdef Controller _controller
    cdef object _coroutine
    cdef bint _has_waited
    cdef object _host
    cdef Invoker _invoker
    cdef TimeoutQueue _timeout_queue

    @cython.locals(call=ServerCall, now=double, began_at=double, ends_at=double)
    cdef _run_calls(self)
    @cython.locals(controller=Controller)
    cdef _begin(self, ServerCall call, double now)
    cdef _step(self, object step, object argument)
    cdef _fail(self, object error)
    @cython.locals(call=ServerCall, controller=Controller)
    cdef _answer(self, object response)
    cdef bint _is_taken_over(
        self, ServerCall call, Controller controller, object response
    ) except -1
    @cython.locals(controller=Controller)
    cdef _answer_unrun(self, ServerCall call, object error)
    @cython.locals(call=ServerCall)
    cdef _keep(self, object task, double now)
    cdef _let_go(self, ServerCall call)
    cdef list _take_calls(self)


cdef _mark_of(object task)
