cimport cython
from pybrpc.transport.writing.backlog cimport Backlog
from pybrpc.transport.writing.write_request cimport WriteRequest

cdef Py_ssize_t MAX_DROPPED_PER_BATCH


cdef class PendingWrites:
    cdef Backlog _backlog
    cdef readonly bint is_shutdown
    cdef readonly object messages_written
    cdef readonly list refused
    cdef readonly object requests

    @cython.locals(only=WriteRequest, batch=list, dropped=Py_ssize_t, request=WriteRequest)
    cpdef list next_batch(self, object socket)
    @cython.locals(size="long long", count=Py_ssize_t, request=WriteRequest)
    cpdef bint settle_written(self, object socket, list batch) except -1
    @cython.locals(request=WriteRequest, data=bytes)
    cpdef bytes next_short(self, Py_ssize_t max_bytes)
    @cython.locals(request=WriteRequest)
    cpdef settle_only(self)
    cpdef settle_failed(self, object socket, WriteRequest request, object error)
    cpdef refuse(self, object work)
    @cython.locals(request=WriteRequest)
    cpdef note_all_sent(self)

    cdef _report(self, object socket, object on_outcome, object error)
    cdef bint _is_ready(self, object socket, WriteRequest request) except -1
    cdef bint _set_up(self, object socket, WriteRequest request) except -1
    @cython.locals(left=Py_ssize_t)
    cdef _refuse_some(self, object socket)


@cython.locals(request=WriteRequest)
cpdef note_begun(list batch)
