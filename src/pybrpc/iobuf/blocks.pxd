cimport cython


cpdef object as_block(object data)


@cython.locals(view=memoryview)
cpdef object piece(object block, Py_ssize_t start, Py_ssize_t end)
