cimport cython
from pybrpc.iobuf.io_portal cimport IOPortal


cdef class MessageCutter:
    cdef object _limits
    cdef object _protocols
    cdef readonly object broken
    cdef readonly IOPortal buffer
    cdef readonly object protocol

    @cython.locals(messages=list)
    cpdef list cut(self)
    cpdef object bytes_wanted(self)
    cdef object _parse_one(self)
