cimport cython
from pybrpc.protocols.message cimport RpcRequest
from pybrpc.server.calls.method_entry cimport MethodEntry
from pybrpc.server.calls.server_call cimport ServerCall
from pybrpc.server.calls.service_registry cimport ServiceRegistry
from pybrpc.server.limiters.limiter cimport Limiter


@cython.final
cdef class Admission:
    cdef Limiter _refused_by
    cdef ServiceRegistry _registry
    cdef public bint is_stopping
    cdef public Limiter limiter
    cdef public Py_ssize_t rejected
    cdef readonly set running

    @cython.locals(limiter=Limiter)
    cpdef bint admits(self, MethodEntry entry, RpcRequest request, double now) except -1
    @cython.locals(entry=MethodEntry, limiter=Limiter, running=set)
    cpdef enter(self, ServerCall call)
    @cython.locals(entry=MethodEntry)
    cpdef bint leave(self, ServerCall call, double now) except -1
    @cython.locals(limiter=Limiter, latency_s=double)
    cdef _tell_limiters(self, ServerCall call, double now)


cdef long long timeout_ms_of(RpcRequest request) except -1
