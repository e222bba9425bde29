cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf


@cython.final
@cython.freelist(512)
cdef class StreamFrame:
    cdef public long long consumed_size
    cdef public bytes data
    cdef public long long frame_type
    cdef public bint has_continuation
    cdef public long long source_stream_id
    cdef public long long stream_id


@cython.locals(size=Py_ssize_t)
cpdef append_data(IOBuf frames, bytes meta, object data)
cpdef bytes pack_feedback(object stream_id, object source_stream_id, object consumed_size)
