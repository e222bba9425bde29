cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf
from pybrpc.protocols.http1.server_session cimport HttpServerSession
from pybrpc.server.connections.server_connection cimport ServerConnection
from pybrpc.server.http.replies cimport HttpReplies
from pybrpc.server.http.request cimport HttpRequest, new_http_request
from pybrpc.server.http.resolved_head cimport ResolvedHead


cdef class HttpExchange:
    cdef object _finder
    cdef bint _has_auth
    cdef bint _has_replies
    cdef bint _is_over
    cdef object _raw_sink
    cdef HttpRequest _request
    cdef ResolvedHead _resolved
    cdef HttpServerSession _session
    cdef readonly ServerConnection connection
    cdef readonly object end_error
    cdef readonly dict queues
    cdef readonly HttpReplies replies
    cdef readonly dict streams
    cdef readonly object threads

    @cython.locals(calls=list, now=double)
    cpdef on_messages(self, list messages)
    @cython.locals(request=HttpRequest)
    cdef _after_read(self)
    @cython.locals(
        connection=ServerConnection, position=Py_ssize_t, request=HttpRequest, resolved=ResolvedHead
    )
    cdef _on_head(self, object head, double now)
    @cython.locals(resolved=ResolvedHead, request=HttpRequest)
    cdef ResolvedHead _resolve(self, object head, Py_ssize_t position, double now)
    @cython.locals(request=HttpRequest)
    cdef _on_part(self, IOBuf data)
    @cython.locals(request=HttpRequest)
    cdef _on_message_end(self, object end, list calls)
    cpdef put(self, Py_ssize_t position, IOBuf data)
