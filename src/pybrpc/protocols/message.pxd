cimport cython


# No object in a message refers to the message, so the garbage collector need not visit it.
@cython.no_gc
@cython.freelist(512)
cdef class RpcRequest:
    cdef public object correlation_id
    cdef public object service
    cdef public object method
    cdef public object body
    cdef public object attachment
    cdef public object log_id
    cdef public object request_id
    cdef public object timeout_ms
    cdef public object trace_id
    cdef public object span_id
    cdef public object parent_span_id
    cdef public object user_fields
    cdef public object credential
    cdef public object compress_type
    cdef public object content_type
    cdef public object checksum_type
    cdef public object checksum_value
    cdef public object checksum_with_attachment
    cdef public object stream_settings
    cdef public object method_index
    cdef public object packer


@cython.no_gc
@cython.freelist(512)
cdef class RpcResponse:
    cdef public object correlation_id
    cdef public object error_code
    cdef public object error_text
    cdef public object body
    cdef public object attachment
    cdef public object user_fields
    cdef public object compress_type
    cdef public object content_type
    cdef public object checksum_type
    cdef public object checksum_value
    cdef public object checksum_with_attachment
    cdef public object stream_settings


@cython.locals(request=RpcRequest)
cpdef RpcRequest new_request(
    object correlation_id, object service, object method, object timeout_ms, object body
)
@cython.locals(response=RpcResponse)
cpdef RpcResponse new_response(object correlation_id, object body)
