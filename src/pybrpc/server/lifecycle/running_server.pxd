cimport cython
from pybrpc.server.calls.method_entry cimport MethodEntry
from pybrpc.server.calls.server_call cimport ServerCall
from pybrpc.server.connections.server_core cimport ServerCore


cdef class RunningServer(ServerCore):
    cdef object __weakref__
    cdef object _idle_sweep
    cdef object _message_sweep
    cdef object _refused_log
    cdef object _stop
    cdef readonly object acceptor
    cdef readonly set connections
    cdef readonly object handler_loop
    cdef readonly object max_connections
    cdef readonly object pool
    cdef readonly object refused_connections
    cdef readonly object stopped

    @cython.locals(tasks=list, async_calls=list, are_quick=bint, call=ServerCall, entry=MethodEntry)
    cpdef start_calls(self, list calls)
