cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf
from pybrpc.iobuf.short_io cimport read_short


cdef class IOPortal(IOBuf):
    cdef Py_ssize_t _begin
    cdef Py_ssize_t _filled
    cdef object _landed
    cdef object _room

    cpdef clear(self)

    @cython.locals(before=Py_ssize_t)
    cdef _start_block(self, Py_ssize_t size)
    cdef _land(self, Py_ssize_t count)
    cdef _forget_block(self)
