cimport cython
from pybrpc.protocols.message cimport RpcRequest, RpcResponse, new_request, new_response

ctypedef unsigned long long uint64
ctypedef long long int64

cdef uint64 _MASK_64
cdef uint64 _MASK_32
cdef uint64 _SIGN_64
cdef uint64 _SIGN_32
cdef uint64 _LAST_TAG
cdef uint64 _MAX_FIELD_BYTES
cdef Py_ssize_t _MAX_DEPTH


@cython.final
@cython.no_gc
@cython.freelist(8)
cdef class Meta:
    cdef readonly object attachment_size
    cdef readonly object authentication_data
    cdef readonly object checksum_type
    cdef readonly object checksum_value
    cdef readonly object checksum_with_attachment
    cdef readonly object compress_type
    cdef readonly object content_type
    cdef readonly object correlation_id
    cdef readonly object error_code
    cdef readonly bytes error_text
    cdef readonly list extra_stream_ids
    cdef readonly bint has_stream_settings
    cdef readonly bint is_request
    cdef readonly object log_id
    cdef readonly bytes method_name
    cdef readonly object need_feedback
    cdef readonly object parent_span_id
    cdef readonly bytes request_id
    cdef readonly bytes service_name
    cdef readonly object span_id
    cdef readonly object stream_id
    cdef readonly object timeout_ms
    cdef readonly object trace_id
    cdef readonly dict user_fields
    cdef readonly object writable


@cython.final
@cython.freelist(8)
cdef class _Reader:
    cdef bytes data
    cdef Py_ssize_t position
    cdef Py_ssize_t end
    cdef Py_ssize_t depth

    @cython.locals(data=bytes, position=Py_ssize_t, value=uint64, byte=uint64, shift=int)
    cdef uint64 read_varint(self) except? 0
    @cython.locals(start=Py_ssize_t, tag=uint64, value=uint64)
    cdef uint64 read_tag(self) except 0
    @cython.locals(start=Py_ssize_t, value=uint64)
    cdef uint64 read_tag_in_group(self) except? 0
    cdef int64 read_int64(self) except? 0
    cdef int64 read_int32(self) except? 0
    cdef object read_bool(self)
    @cython.locals(start=Py_ssize_t, size=uint64, left=uint64)
    cdef Py_ssize_t read_length(self) except -1
    @cython.locals(start=Py_ssize_t, size=Py_ssize_t)
    cdef bytes read_bytes(self)
    @cython.locals(start=Py_ssize_t, size=Py_ssize_t)
    cdef _Reader read_message(self)
    @cython.locals(size=Py_ssize_t, wire_type=int)
    cdef int skip(self, uint64 tag) except -1
    cdef int _skip_fixed(self, Py_ssize_t size) except -1
    @cython.locals(end_tags=list)
    cdef int _skip_group(self, uint64 tag) except -1


@cython.locals(raw=bytes, meta=Meta, reader=_Reader, tag=uint64)
cpdef Meta decode_meta(object data)
@cython.locals(request=RpcRequest, service=bytes, method=bytes, request_id=bytes)
cpdef RpcRequest request_of(Meta meta, object body, object attachment)
@cython.locals(response=RpcResponse)
cpdef RpcResponse response_of(Meta meta, object body, object attachment)

@cython.locals(tag=uint64)
cdef int _decode_request(Meta meta, _Reader reader) except -1
@cython.locals(tag=uint64)
cdef int _decode_response(Meta meta, _Reader reader) except -1
@cython.locals(tag=uint64, packed=_Reader)
cdef int _decode_stream_settings(Meta meta, _Reader reader) except -1
@cython.locals(tag=uint64, key=bytes, value=bytes)
cdef int _decode_user_field(Meta meta, _Reader reader) except -1
cdef _stream_settings_of(Meta meta)
cdef int64 _signed_64(uint64 value)
cdef int64 _signed_32(uint64 value)
