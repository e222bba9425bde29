from pybrpc.iobuf.iobuf cimport IOBuf


cdef class GatheredFrames:
    cdef object _lock
    cdef readonly IOBuf frames
    cdef readonly bint is_taken
    cdef readonly long long number

    cpdef bint may_join(self, long long joins_after) except -1
    cpdef append_to(self, IOBuf buffer)
