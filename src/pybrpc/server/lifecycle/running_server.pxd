cimport cython
from pybrpc.server.calls.call_queue cimport CallQueue
from pybrpc.server.calls.interfaces cimport CallConnection
from pybrpc.server.calls.invoker cimport Invoker
from pybrpc.server.calls.method_entry cimport MethodEntry
from pybrpc.server.calls.server_call cimport ServerCall
from pybrpc.server.connections.server_core cimport ServerCore
from pybrpc.server.running.handler_loop cimport HandlerLoop
from pybrpc.server.running.worker_pool cimport WorkerPool


cdef class RunningServer(ServerCore):
    cdef object __weakref__
    cdef object _access_writer
    cdef object _bound_loop
    cdef object _context
    cdef object _dump_writer
    cdef object _grace_end
    cdef object _hooks
    cdef object _idle_sweep
    cdef object _loop_watch
    cdef object _message_sweep
    cdef object _new_frontend
    cdef object _refused_log
    cdef object _stop
    cdef object _stop_hooks
    cdef readonly object acceptor
    cdef readonly set connections
    cdef readonly object drain
    cdef readonly HandlerLoop handler_loop
    cdef readonly object http
    cdef readonly object internal_port
    cdef readonly Invoker invoker
    cdef readonly object max_connections
    cdef readonly WorkerPool pool
    cdef readonly object refused_connections
    cdef readonly object stopped
    cdef readonly object variables

    @cython.locals(
        plain=list, async_calls=list, are_quick=bint, parses_long=bint, call=ServerCall,
        entry=MethodEntry
    )
    cpdef start_calls(self, CallConnection connection, list calls)
    @cython.locals(queue=CallQueue)
    cdef _start_async(self, CallConnection connection, list calls)


@cython.locals(queue=CallQueue)
cpdef CallQueue plain_queue(CallConnection connection)
