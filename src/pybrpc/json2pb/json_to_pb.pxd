cimport cython


@cython.freelist(16)
cdef class _Run:
    cdef readonly bint is_partial
    cdef readonly Py_ssize_t max_depth
    cdef readonly list skipped

    cpdef reject(self, object field, object value, object wanted, object step)
    cpdef add_step(self, object step, Py_ssize_t first)


cdef class _ReadPlan:
    cdef object _descriptor
    cdef Py_ssize_t _extensions
    cdef tuple _index
    cdef bint _is_extendable
    cdef bint _is_large
    cdef object _options
    cdef tuple _rows
    cdef readonly object name

    @cython.locals(rows=tuple)
    cpdef read_root(self, object message, object value, _Run run)
    cpdef read(self, object message, object value, Py_ssize_t depth, _Run run)
    @cython.locals(first=Py_ssize_t)
    cpdef read_nested(
        self,
        object message,
        object value,
        Py_ssize_t depth,
        _Run run,
        object name,
        object index=*
    )
