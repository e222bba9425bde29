from pybrpc.server.calls.admission cimport Admission
from pybrpc.server.calls.call_end cimport CallEnd
from pybrpc.server.calls.interfaces cimport CallConnection
from pybrpc.server.calls.service_registry cimport ServiceRegistry


cdef class ServerCore:
    cdef readonly Admission admission
    cdef readonly object auth_log
    cdef readonly object bad_input_log
    cdef readonly CallEnd call_end
    cdef readonly object dispatcher
    cdef readonly object errors
    cdef readonly bint has_idle_timeout
    cdef readonly object non_service_errors
    cdef readonly object process_backlog
    cdef public long long requests
    cdef readonly ServiceRegistry registry
    cdef readonly object settings
    cdef readonly object unanswered

    cpdef start_calls(self, CallConnection connection, list calls)
