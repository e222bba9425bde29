cpdef object as_block(object data)


cpdef object piece(object block, Py_ssize_t start, Py_ssize_t end)


cpdef bint is_short(object block, Py_ssize_t size) except -1
