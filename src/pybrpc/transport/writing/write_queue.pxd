cimport cython
from pybrpc.base.gil_atomic cimport GilAtomicRef
from pybrpc.transport.writing.write_request cimport WriteRequest


cdef class WriteQueue:
    cdef readonly GilAtomicRef _head
    cdef readonly WriteRequest _mark
    cdef readonly WriteRequest _cut_off

    @cython.locals(older=WriteRequest)
    cpdef bint push(self, WriteRequest request) except -1
    @cython.locals(newest=WriteRequest, mark=WriteRequest, node=WriteRequest, taken=list)
    cpdef list take(self)
    cpdef bint release(self) except -1
