cimport cython
from pybrpc.transport.writing.backlog cimport Backlog
from pybrpc.transport.writing.write_request cimport WriteRequest


cdef class PendingWrites:
    cdef Backlog _backlog
    cdef readonly bint is_shutdown
    cdef readonly object messages_written
    cdef readonly object requests

    @cython.locals(only=WriteRequest, batch=list, request=WriteRequest)
    cpdef list next_batch(self, object socket, list outcomes)
    @cython.locals(size="long long", count=Py_ssize_t, request=WriteRequest)
    cpdef bint settle_written(self, list batch, list outcomes) except -1
    cpdef settle_failed(self, WriteRequest request, object error, list outcomes)
    @cython.locals(request=WriteRequest)
    cpdef note_all_sent(self)

    cdef bint _set_up(self, WriteRequest request, list outcomes) except -1
    cdef _refuse_from(self, Py_ssize_t index, list outcomes)


@cython.locals(request=WriteRequest)
cpdef note_begun(list batch)
