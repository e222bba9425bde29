cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf
from pybrpc.protocols.http1.parser cimport ResponseParser
from pybrpc.protocols.session cimport Session


cdef class WholeResponse:
    cdef readonly object head
    cdef readonly IOBuf body
    cdef readonly object trailers


cdef class HttpClientSession(Session):
    cdef IOBuf _body
    cdef Py_ssize_t _continues
    cdef object _head
    cdef Py_ssize_t _interim
    cdef object _is_progressive
    cdef ResponseParser _parser
    cdef readonly bint has_begun

    cpdef expect(self, object method, bint is_progressive=*)
    @cython.locals(events=list, messages=list)
    cpdef list cut(self)
    cpdef Py_ssize_t bytes_wanted(self) except -1
    cdef _on_event(self, object event, list messages)
    cdef _begin(self, object head, list messages)
    cdef _finish(self, object end, list messages)
