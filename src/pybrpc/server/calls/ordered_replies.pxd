cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf
from pybrpc.transport.writing.backlog cimport Backlog
from pybrpc.transport.writing.write_request cimport new_message_request


cdef class OrderedReplies:
    cdef dict _kept
    cdef object _outcome
    cdef Py_ssize_t _positions
    cdef object _socket
    cdef Backlog _unanswered
    cdef Py_ssize_t _written

    @cython.locals(position=Py_ssize_t)
    cpdef Py_ssize_t next_position(self) except -1
    @cython.locals(size_bytes=Py_ssize_t)
    cpdef put(self, Py_ssize_t position, IOBuf data)
    cpdef write(self)
    cpdef bint drops(self, Py_ssize_t position) except -1
    @cython.locals(size_bytes=Py_ssize_t, count=Py_ssize_t, data=IOBuf)
    cpdef append_to(self, IOBuf buffer)
    cpdef _drop(self)
