cimport cython
from pybrpc.server.calls.method_entry cimport MethodEntry


@cython.final
cdef class ServiceRegistry:
    cdef bint _cancel_handlers
    cdef bint _drop_expired
    cdef dict _entries
    cdef MethodEntry _generic
    cdef tuple _interceptors
    cdef tuple _last
    cdef dict _names
    cdef dict _services
    cdef dict _unserved

    @cython.locals(last=tuple, entry=MethodEntry)
    cpdef MethodEntry get(self, object service_name, object method_name)
    @cython.locals(generic=MethodEntry)
    cpdef MethodEntry generic_for(self, object service_name, object method_name)
