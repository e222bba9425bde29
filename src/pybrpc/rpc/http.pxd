cimport cython


@cython.freelist(256)
cdef class HttpHeader:
    cdef public object _attachments
    cdef object _content_type
    cdef object _head
    cdef object _headers
    cdef object _method
    cdef object _reason
    cdef object _status_code
    cdef object _uri
    cdef public object body
    cdef object _version
    cdef public object unresolved_path

    cpdef only_content_type(self)


@cython.locals(header=HttpHeader)
cpdef HttpHeader received_request(object head, object unresolved_path)

@cython.locals(header=HttpHeader)
cpdef HttpHeader received_response(object head)
