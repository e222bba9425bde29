cimport cython
from pybrpc.protocols.session cimport Session


cdef class MessageCutter(Session):
    cdef object _companions
    cdef object _current
    cdef bint _is_mixed
    cdef object _limits
    cdef Py_ssize_t _max_skipped_bytes
    cdef object _openers
    cdef Py_ssize_t _skip
    cdef Py_ssize_t _whole_at

    @cython.locals(messages=list, size=Py_ssize_t, wanted=Py_ssize_t)
    cpdef list cut(self)
    @cython.locals(size=Py_ssize_t)
    cpdef Py_ssize_t bytes_wanted(self) except -1
    cdef object _parse_one(self)
