cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf


@cython.locals(buf=IOBuf, blocks=list, size=Py_ssize_t, written=Py_ssize_t, has_more=bint)
cpdef Py_ssize_t cut_multiple_into_fd(object fd, object bufs) except -1


@cython.locals(buf=IOBuf)
cdef _pop_written(object bufs, Py_ssize_t count)
