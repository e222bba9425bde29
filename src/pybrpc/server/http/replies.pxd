from pybrpc.iobuf.iobuf cimport IOBuf
from pybrpc.server.calls.ordered_replies cimport OrderedReplies


cdef class HttpReplies(OrderedReplies):
    cdef bint _is_dropped
    cdef dict _parts
    cdef object _last

    cpdef append(self, Py_ssize_t position, IOBuf data)
    cpdef put(self, Py_ssize_t position, IOBuf data)
    cpdef append_to(self, IOBuf buffer)
    cpdef _drop(self)
