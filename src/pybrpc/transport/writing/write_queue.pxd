cimport cython
from pybrpc.base.gil_atomic cimport GilAtomicRef
from pybrpc.transport.writing.write_request cimport WriteRequest


cdef Py_ssize_t MAX_REQUESTS_PER_WALK


cdef class WriteQueue:
    cdef readonly GilAtomicRef _head
    cdef readonly WriteRequest _mark
    cdef readonly WriteRequest _cut_off
    cdef readonly list _walked
    cdef readonly bint is_cut

    @cython.locals(older=WriteRequest)
    cpdef bint push(self, WriteRequest request) except -1
    @cython.locals(
        node=WriteRequest, older=WriteRequest, mark=WriteRequest, walked=list, left=Py_ssize_t
    )
    cpdef list take(self)
    cpdef bint release(self) except -1
