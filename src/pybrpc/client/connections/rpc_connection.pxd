cimport cython
from pybrpc.client.calls.attempt cimport Attempt
from pybrpc.client.calls.call_record cimport CallRecord
from pybrpc.client.connections.connection cimport ClientConnection
from pybrpc.protocols.message cimport RpcRequest, RpcResponse
from pybrpc.transport.writing.write_request cimport WriteRequest, new_write_request


cdef class RpcConnection(ClientConnection):
    cdef readonly object _authentication
    cdef public bint _is_ordered
    cdef readonly object _late_answers
    cdef readonly object _max_unconsumed_bytes
    cdef readonly dict _pending
    cdef readonly object _protocol
    cdef readonly object _streams
    cdef readonly object _unknown_answers
    cdef readonly object last_id

    @cython.locals(write_request=WriteRequest)
    cpdef send(self, Attempt attempt)
    cdef _pack(self, CallRecord call, object correlation_id)
    @cython.locals(request=RpcRequest)
    cdef RpcRequest _request_of(self, CallRecord call, object correlation_id)
    cpdef _take(self, Attempt attempt)
    cpdef bint is_held(self) except -1
    @cython.locals(attempt=Attempt, count=Py_ssize_t, done=Py_ssize_t)
    cpdef _on_messages(self, list messages)
    cdef _on_response(self, Attempt attempt, RpcResponse response)
