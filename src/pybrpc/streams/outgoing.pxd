cdef class Outgoing:
    cdef public object error
    cdef public bint is_close
    cdef public bint is_over
    cdef public object messages
    cdef public Py_ssize_t sent
    cdef public object wait
