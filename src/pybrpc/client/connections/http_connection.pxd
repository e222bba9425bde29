cimport cython
from pybrpc.client.calls.attempt cimport Attempt
from pybrpc.client.connections.connection cimport ClientConnection
from pybrpc.client.connections.http_request cimport HttpRequest
from pybrpc.iobuf.iobuf cimport IOBuf
from pybrpc.protocols.http1.client_session cimport HttpClientSession, WholeResponse
from pybrpc.transport.writing.write_request cimport WriteRequest


cdef class OutgoingRequest:
    cdef HttpConnection _connection
    cdef bint _is_placed
    cdef IOBuf _packed
    cdef object _span
    cdef public Attempt attempt
    cdef public bint keeps
    cdef readonly HttpRequest request

    cpdef append_to(self, IOBuf buffer)


cdef class HttpWrite(WriteRequest):
    pass


cdef class HttpConnection(ClientConnection):
    cdef object _authentication
    cdef object _body
    cdef Py_ssize_t _late_answers
    cdef readonly dict _pending
    cdef HttpClientSession _session
    cdef object _unread
    cdef object _waiting
    cdef readonly object host

    @cython.locals(
        message=OutgoingRequest, packed=IOBuf, request=HttpRequest, write_request=HttpWrite
    )
    cpdef send(self, Attempt attempt)
    @cython.locals(attempt=Attempt, request=HttpRequest)
    cdef take_place(self, OutgoingRequest message)
    cpdef _take(self, Attempt attempt)
    @cython.locals(attempt=Attempt, outgoing=OutgoingRequest)
    cpdef _on_messages(self, list messages)
    @cython.locals(attempt=Attempt, outgoing=OutgoingRequest)
    cdef _on_message(self, object message)
    cdef _on_whole(self, OutgoingRequest outgoing, Attempt attempt, WholeResponse response)
    cdef bint _is_reusable(self, OutgoingRequest outgoing, bint keeps) except -1
