cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf
from pybrpc.protocols.streaming.stream_frame cimport StreamFrame

cdef int _HEADER_SIZE
cdef int _MAX_META_SIZE
cdef int _NO_STREAM
cdef int _S
cdef int _T
cdef int _R
cdef int _M


cdef class StreamingRpc:
    cpdef parse(self, IOBuf buffer, object limits)


@cython.locals(
    blocks=list,
    block=bytes,
    data="const unsigned char *",
    at=Py_ssize_t,
    room=Py_ssize_t,
    body_size=Py_ssize_t,
    meta_size=Py_ssize_t,
    meta_end=Py_ssize_t,
    end=Py_ssize_t,
    frame=StreamFrame,
)
cpdef StreamFrame parse_fast(IOBuf buffer, object limits)

@cython.locals(has_id=bint, tag="long long", value="long long", number="long long", shift=int)
cdef bint parse_meta(
    StreamFrame frame, const unsigned char *data, Py_ssize_t at, Py_ssize_t meta_end
) except -1
