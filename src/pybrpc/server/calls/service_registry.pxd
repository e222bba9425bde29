cimport cython
from pybrpc.server.calls.method_entry cimport MethodEntry


@cython.final
cdef class ServiceRegistry:
    cdef dict _entries
    cdef tuple _last
    cdef dict _services

    @cython.locals(last=tuple, entry=MethodEntry)
    cpdef MethodEntry get(self, object service_name, object method_name)
