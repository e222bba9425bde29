cimport cython


@cython.final
cdef class MethodEntry:
    cdef readonly object full_name
    cdef readonly object handler
    cdef readonly bint is_async
    cdef public object max_concurrency
    cdef public double mean_s
    cdef public Py_ssize_t quick_after
    cdef readonly object request_class
    cdef readonly object response_class
    cdef readonly set running
    cdef public bint waits

    cpdef bint is_full(self) except -1
    cpdef bint is_quick(self) except -1
    cpdef note_slow(self)
    cpdef note_duration(self, double seconds)


@cython.final
cdef class ServiceRegistry:
    cdef dict _entries
    cdef dict _services

    cpdef MethodEntry get(self, object service_name, object method_name)
