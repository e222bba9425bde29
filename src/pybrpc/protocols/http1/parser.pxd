cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf


cdef class MessageParser:
    cdef object _body
    cdef object _collector
    cdef object _head_parser
    cdef bint _is_closed
    cdef bint _is_server
    cdef bint _keeps
    cdef object _limit
    cdef object _options
    cdef public object broken

    @cython.locals(events=list)
    cpdef list read(self, IOBuf buffer)
    cpdef object _parse_head(self, bytes block)
    cpdef object _body_of(self, object head)
    @cython.locals(window=bytes, part=bytes, end=Py_ssize_t, rest=Py_ssize_t)
    cdef object _read_head(self, IOBuf buffer)
    cdef object _parse_whole(self, IOBuf buffer, bytes block)
    cdef _begin_body(self, object head, IOBuf buffer, list events)
    @cython.locals(part=IOBuf)
    cdef _read_body(self, IOBuf buffer, object body, list events)
    cdef _end_message(self, list events, object end)


cdef class RequestParser(MessageParser):
    cdef bytes _last_block
    cdef object _last_head

    cdef _begin_body(self, object head, IOBuf buffer, list events)
    cpdef object _parse_head(self, bytes block)
    cpdef object _body_of(self, object head)


cdef class ResponseParser(MessageParser):
    cdef object _expected

    cpdef object _parse_head(self, bytes block)
    cpdef object _body_of(self, object head)
