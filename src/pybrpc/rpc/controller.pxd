cimport cython
from pybrpc.protocols.message cimport RpcRequest, RpcResponse


@cython.freelist(64)
cdef class Controller:
    cdef public object _backup_request_ms
    cdef public object _call
    cdef public object _checksum_value
    cdef public object _generation
    cdef public object _hash_key
    cdef public object _http_request
    cdef public object _http_response
    cdef public object _is_canceled
    cdef public object _log_id
    cdef public object _max_retry
    cdef public object _request_attachment
    cdef public object _request_checksum_attachment
    cdef public object _request_checksum_type
    cdef public object _request_compress_type
    cdef public object _request_id
    cdef public object _request_user_fields
    cdef public object _response_attachment
    cdef public object _response_checksum_attachment
    cdef public object _response_checksum_type
    cdef public object _response_compress_type
    cdef public object _response_user_fields
    cdef public object _server_identity
    cdef public object _streams
    cdef public object _timeout_ms
    cdef public object auth_context
    cdef public object error_code
    cdef public object error_text
    cdef public object has_backup_request
    cdef public object latency_us
    cdef public object local_side
    cdef public object method_name
    cdef public object received_at
    cdef public object remote_side
    cdef public object retried_count
    cdef public object sub_calls
    cdef public object tls

    cpdef reset(self)
    cpdef begin_call(self, object call, object method_name)
    cpdef bint is_used_by(self, object call) except -1
    cpdef end_call(self, object call)
    cpdef bint has_fast_response(self) except -1
    cpdef _note_request(self, RpcRequest request)
    cpdef _note_response(self, RpcResponse response)
