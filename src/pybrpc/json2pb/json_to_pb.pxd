cimport cython


@cython.freelist(16)
cdef class _Run:
    cdef public bint is_partial
    cdef public Py_ssize_t max_depth
    cdef public list skipped

    cpdef reject(self, object field, object value, object wanted, object step)
    cpdef add_step(self, object step, Py_ssize_t first)


@cython.locals(run=_Run)
cdef _Run _new_run(object options, bint is_partial=*)


cdef class ReadPlan:
    cdef object _descriptor
    cdef Py_ssize_t _extensions
    cdef tuple _index
    cdef bint _is_extendable
    cdef bint _is_large
    cdef object _options
    cdef tuple _plain_rows
    cdef tuple _rows
    cdef readonly object name

    @cython.locals(run=_Run, levels=Py_ssize_t)
    cpdef to_message(
        self, bytes raw, object message_class, bint is_partial=*, object skipped=*
    )
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
