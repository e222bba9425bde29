cdef class ResolvedHead:
    cdef object _uri
    cdef public object captures
    cdef public object cors
    cdef public object facts
    cdef readonly object head
    cdef public bint needs_credentials
    cdef readonly object path
    cdef readonly object query
    cdef public object rest
    cdef readonly Py_ssize_t size_bytes
    cdef public object target
