from pybrpc.iobuf.iobuf cimport IOBuf


cdef class Session:
    cdef public object broken
    cdef public IOBuf buffer
    cdef public bint has_more
    cdef public IOBuf output
    cdef public object protocol
    cdef public object successor

    cpdef list cut(self)
    cpdef Py_ssize_t bytes_wanted(self) except -1
