cimport cython


cdef class WritePlan:
    cdef readonly dict _columns
    cdef object _descriptor
    cdef tuple _maps
    cdef Py_ssize_t _max_depth
    cdef WritePlan _newer
    cdef list _no_texts
    cdef object _options
    cdef dict _plain_columns
    cdef list _required
    cdef Py_ssize_t _required_count
    cdef object _single
    cdef list _unset

    @cython.locals(text=str)
    cpdef bytes to_json(self, object message)
    cpdef write_root(self, object message)
    @cython.locals(texts=list, slots=list, required=Py_ssize_t)
    cpdef write(self, object message, Py_ssize_t depth)
    cpdef _in_order(self, object message, list slots)
