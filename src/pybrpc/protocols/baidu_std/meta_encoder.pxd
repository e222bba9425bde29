cimport cython
from pybrpc.protocols.message cimport RpcRequest, RpcResponse

ctypedef unsigned long long uint64
ctypedef long long int64

cdef uint64 _MASK_64
cdef int64 _LOWEST_64
cdef int64 _HIGHEST_64
cdef int64 _LOWEST_32
cdef int64 _HIGHEST_32


@cython.locals(out=bytearray, start=Py_ssize_t)
cpdef bytes encode_request_meta(RpcRequest request, object attachment_size)
@cython.locals(out=bytearray, start=Py_ssize_t)
cpdef bytes encode_response_meta(RpcResponse response, object attachment_size)

cdef int _put_varint(bytearray out, uint64 value) except -1
@cython.locals(number=int64)
cdef int _put_int64(bytearray out, int tag, object value) except -1
@cython.locals(number=int64)
cdef int _put_int32(bytearray out, int tag, object value) except -1
@cython.locals(is_set=bint)
cdef int _put_bool(bytearray out, int tag, object value) except -1
@cython.locals(number=int64)
cdef int64 _int64_of(object value) except? -1
cdef object _out_of_range(object value)
cdef int _put_bytes(bytearray out, int tag, object value) except -1
cdef int _put_raw(bytearray out, int tag, bytes raw) except -1
cdef int _put_text(bytearray out, int tag, object text) except -1
cdef int _put_lossy_text(bytearray out, int tag, object text) except -1
cdef int _put_escaped_text(bytearray out, int tag, object text) except -1
cdef str _exact(object text)
cdef Py_ssize_t _begin_message(bytearray out, int tag) except -1
@cython.locals(size=Py_ssize_t, length=bytearray)
cdef int _end_message(bytearray out, Py_ssize_t start) except -1
@cython.locals(start=Py_ssize_t)
cdef int _put_stream_settings(bytearray out, object settings) except -1
@cython.locals(start=Py_ssize_t)
cdef int _put_user_fields(bytearray out, object user_fields) except -1
