cimport cython
from pybrpc.protocols.message cimport RpcRequest
from pybrpc.server.calls.method_entry cimport MethodEntry
from pybrpc.server.calls.server_call cimport ServerCall
from pybrpc.server.calls.service_registry cimport ServiceRegistry


@cython.final
cdef class Admission:
    cdef ServiceRegistry _registry
    cdef public bint is_stopping
    cdef public object max_concurrency
    cdef readonly set running

    cpdef bint is_full(self) except -1
    cpdef bint admits(self, MethodEntry entry) except -1
    @cython.locals(entry=MethodEntry)
    cpdef enter(self, ServerCall call)
    @cython.locals(entry=MethodEntry)
    cpdef bint leave(self, ServerCall call) except -1
