cimport cython
from pybrpc.iobuf.io_portal cimport IOPortal


cdef class MessageCutter:
    cdef object _limits
    cdef object _protocols
    cdef Py_ssize_t _whole_at
    cdef readonly object broken
    cdef readonly IOPortal buffer
    cdef readonly object protocol

    @cython.locals(messages=list, wanted=Py_ssize_t)
    cpdef list cut(self)
    @cython.locals(size=Py_ssize_t)
    cpdef Py_ssize_t bytes_wanted(self)
    cdef object _parse_one(self)
