cimport cython


@cython.freelist(64)
cdef class HttpMessage:
    cdef object _head
    cdef object _headers
    cdef object _reason
    cdef object _status
    cdef object _uri
    cdef public object method
    cdef public object unresolved_path

    cpdef only_content_type(self)


@cython.locals(message=HttpMessage)
cpdef HttpMessage received_request(object head, object unresolved_path)
