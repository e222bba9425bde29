cimport cython
from pybrpc.server.calls.server_call cimport ServerCall
from pybrpc.server.calls.service_registry cimport ServiceRegistry


cdef class ServerCore:
    cdef readonly object auth_log
    cdef readonly object bad_input_log
    cdef readonly object dispatcher
    cdef readonly object errors
    cdef readonly bint has_idle_timeout
    cdef readonly bint is_stopping
    cdef readonly object max_concurrency
    cdef readonly object process_backlog
    cdef readonly ServiceRegistry registry
    cdef public long long requests
    cdef readonly set running
    cdef readonly object settings
    cdef readonly object unanswered

    cpdef bint is_full(self) except -1
    cpdef admit(self, ServerCall call)
    @cython.locals(call=ServerCall)
    cpdef release_limits(self, list calls)
    cpdef start_calls(self, list calls)
