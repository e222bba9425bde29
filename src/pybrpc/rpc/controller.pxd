cimport cython
from pybrpc.protocols.message cimport RpcRequest, RpcResponse


@cython.freelist(64)
cdef class Controller:
    cdef public object _checksum_value
    cdef public object _is_canceled
    cdef public object _request_attachment
    cdef public object _request_user_fields
    cdef public object _response_attachment
    cdef public object _response_user_fields
    cdef public object _server_identity
    cdef public object auth_context
    cdef public object backup_request_ms
    cdef public object error_code
    cdef public object error_text
    cdef public object has_backup_request
    cdef public object latency_us
    cdef public object local_side
    cdef public object log_id
    cdef public object max_retry
    cdef public object method_name
    cdef public object received_at
    cdef public object remote_side
    cdef public object request_checksum_attachment
    cdef public object request_checksum_type
    cdef public object request_compress_type
    cdef public object request_id
    cdef public object response_checksum_attachment
    cdef public object response_checksum_type
    cdef public object response_compress_type
    cdef public object retried_count
    cdef public object timeout_ms
    cdef public object tls

    cpdef reset(self)
    cpdef bint has_fast_response(self) except -1
    cpdef _note_request(self, RpcRequest request)
    cpdef _note_response(self, RpcResponse response)
