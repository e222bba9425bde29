cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf, iobuf_of

cdef int _NOT_BEGUN
cdef int _WHOLE_OR_OVER
cdef int _BY_LENGTH
cdef int _CHUNKED
cdef int _UNTIL_CLOSE
cdef int _NO_BODY


cdef class MessageWriter:
    cdef object _left
    cdef int _state

    cdef _start(self, int state, object left=*)


cdef class RequestWriter(MessageWriter):
    cdef bint _defaults
    cdef object _host

    @cython.locals(found=IOBuf, size=Py_ssize_t)
    cpdef IOBuf whole(self, object method, object target, object headers=*, object body=*)
    @cython.locals(names=dict, before=str, behind=str, text=str, line=bytes)
    cdef IOBuf _head(self, object method, object target, object headers, str framing)


cdef class ResponseWriter(MessageWriter):
    cdef bint _is_head
    cdef object _minor_version
    cdef public bint keep_alive


cdef _check_coding(object headers)
@cython.locals(known=dict, lines=list)
cdef str _lines(object fields)
cdef bytes _target_bytes(object target)
cdef _check_value(object what, object value)
cdef Py_ssize_t _size_of(object body) except -1
