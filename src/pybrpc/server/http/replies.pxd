from pybrpc.iobuf.iobuf cimport IOBuf
from pybrpc.server.calls.ordered_replies cimport OrderedReplies


cdef class HttpReplies(OrderedReplies):
    cdef bint _is_dropped
    cdef Py_ssize_t _last
    cdef object _on_last
    cdef dict _parts

    cpdef append(self, Py_ssize_t position, IOBuf data)
    cpdef put(self, Py_ssize_t position, IOBuf data)
    cpdef bint drops(self, Py_ssize_t position) except -1
    cpdef append_to(self, IOBuf buffer)
    cpdef _drop(self)
