cimport cython
from pybrpc.server.calls.server_call cimport ServerCall
from pybrpc.server.connections.server_connection cimport ServerConnection
from pybrpc.server.calls.service_registry cimport MethodEntry, ServiceRegistry


cdef class RunningServer:
    cdef object __weakref__
    cdef object _idle_watch
    cdef object _message_watch
    cdef object _refused_log
    cdef object _stop
    cdef readonly object acceptor
    cdef readonly object auth_log
    cdef readonly object bad_input_log
    cdef readonly set connections
    cdef readonly object dispatcher
    cdef readonly object errors
    cdef readonly object handler_loop
    cdef readonly object unanswered
    cdef readonly bint is_stopping
    cdef readonly object max_concurrency
    cdef readonly object max_connections
    cdef readonly object pool
    cdef readonly object process_backlog
    cdef readonly object refused_connections
    cdef readonly ServiceRegistry registry
    cdef public long long requests
    cdef readonly set running
    cdef readonly object settings
    cdef readonly object stopped

    @cython.locals(tasks=list, async_calls=list, are_quick=bint, call=ServerCall, entry=MethodEntry)
    cpdef start_calls(self, list calls)
    cpdef bint is_full(self) except -1
    cpdef admit(self, ServerCall call)
    @cython.locals(call=ServerCall)
    cpdef leave(self, list calls)
    cpdef end_calls(self, ServerConnection connection)
