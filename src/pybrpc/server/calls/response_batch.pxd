cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf


@cython.final
cdef class ResponseBatch:
    cdef object _answers
    cdef double _flush_at

    cpdef add(self, object call, IOBuf data, double now)
    cpdef put(self, object call, IOBuf data)
    @cython.locals(data=IOBuf, calls=list)
    cpdef flush(self)
    cpdef flush_if_due(self, double now)
    cdef bint _has_enough(self, IOBuf newest) except -1
    cdef tuple _pop(self)
    @cython.locals(item=tuple)
    cdef tuple _pop_of(self, object connection)
