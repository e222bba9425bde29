cimport cython
from pybrpc.iobuf.blocks cimport as_block, is_short, piece
from pybrpc.iobuf.short_io cimport read_short

cdef Py_ssize_t _MERGE_BELOW
cdef Py_ssize_t _LONG


@cython.freelist(512)
cdef class IOBuf:
    cdef readonly list _blocks
    cdef readonly Py_ssize_t _first
    cdef readonly Py_ssize_t _start
    cdef readonly Py_ssize_t _size

    cpdef append(self, object data)
    cpdef Py_ssize_t append_received(self, bytes data) except -1
    @cython.locals(
        start=Py_ssize_t, room=Py_ssize_t, first=Py_ssize_t, end=Py_ssize_t, cut=IOBuf, blocks=list
    )
    cpdef IOBuf cutn(self, Py_ssize_t n)
    @cython.locals(start=Py_ssize_t, end=Py_ssize_t, room=Py_ssize_t)
    cpdef object cut_contiguous(self, Py_ssize_t n)
    @cython.locals(start=Py_ssize_t, blocks=list)
    cpdef Py_ssize_t pop_front(self, Py_ssize_t n) except -1
    @cython.locals(left=Py_ssize_t, dropped=list, blocks=list)
    cpdef Py_ssize_t pop_back(self, Py_ssize_t n) except -1
    cpdef clear(self)
    @cython.locals(start=Py_ssize_t, size=Py_ssize_t)
    cpdef bytes peek(self, object n=*, object offset=*)
    cpdef swap(self, IOBuf other)

    @cython.locals(views=list)
    cdef _append_iobuf(self, IOBuf other)
    @cython.locals(size=Py_ssize_t, start=Py_ssize_t, first=Py_ssize_t)
    cpdef Py_ssize_t _take_views(self, list into, Py_ssize_t limit, object size_hint=*) except -1
    cdef object _contiguous(self)
    @cython.locals(start=Py_ssize_t, first=Py_ssize_t)
    cdef _leave_large_block(self)
    @cython.locals(
        room=Py_ssize_t, first=Py_ssize_t, end=Py_ssize_t, blocks=list, dropped=list
    )
    cdef _drop_blocks(self, Py_ssize_t start)
    @cython.locals(blocks=list)
    cdef Py_ssize_t _remove_front(self, Py_ssize_t end) except -1


@cython.locals(buffer=IOBuf)
cpdef IOBuf iobuf_of(bytes block)
cdef Py_ssize_t _check_count(Py_ssize_t n) except -1
