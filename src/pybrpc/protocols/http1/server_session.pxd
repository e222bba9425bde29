cimport cython
from pybrpc.protocols.http1.parser cimport RequestParser
from pybrpc.protocols.session cimport Session


cdef class HttpServerSession(Session):
    cdef RequestParser _parser
    cdef public long long collected_bytes
    cdef public bint is_raw
    cdef public long long unfinished_mark

    @cython.locals(ends=Py_ssize_t, events=list, found=list, parser=RequestParser)
    cpdef list cut(self)
    cpdef Py_ssize_t bytes_wanted(self) except -1
