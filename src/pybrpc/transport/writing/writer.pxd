cimport cython
from pybrpc.iobuf.short_io cimport write_short
from pybrpc.transport.dispatch.completion cimport expects_writes
from pybrpc.transport.writing.backlog cimport Backlog
from pybrpc.transport.writing.pending_writes cimport PendingWrites, note_begun
from pybrpc.transport.writing.socket_core cimport SocketCore
from pybrpc.transport.writing.write_queue cimport WriteQueue
from pybrpc.transport.writing.write_request cimport WriteRequest


cdef long long _handed_over


cdef class SocketWriter:
    cdef WriteRequest _close_request
    cdef object _cut_off_steps
    cdef bint _layer_is_full
    cdef double _posted_again_until
    cdef double _posted_until
    cdef object _wait
    cdef readonly WriteQueue _queue
    cdef double _wrote_at
    cdef bint _wrote_since_read
    cdef readonly Backlog backlog
    cdef readonly object bytes_written
    cdef readonly object written_inline
    cdef readonly PendingWrites pending
    cdef readonly object writes
    cdef readonly object writes_blocked

    cpdef write(self, SocketCore socket, WriteRequest request)
    cpdef on_read(self)

    @cython.locals(has_right=bint)
    cdef _begin(self, SocketCore socket, WriteRequest request)
    @cython.locals(data=bytes, written=Py_ssize_t)
    cdef bint _write_short(self, SocketCore socket, WriteRequest request) except -1
    cdef _hand_over_right(self, SocketCore socket)
    cdef bint _defers_write(self, SocketCore socket) except -1
    cdef _give_up(self, SocketCore socket, object reason, bint has_right)
    @cython.locals(is_whole=bint, may_go_on=bint)
    cdef bint _write_batches(self, SocketCore socket) except -1
    @cython.locals(taken=list)
    cdef bint _take_more(self) except -1
    @cython.locals(
        pending=PendingWrites,
        batch=list,
        is_layered=bint,
        pieces=list,
        request=WriteRequest,
        written=Py_ssize_t,
    )
    cdef bint _write_batch(self, SocketCore socket) except -1
    @cython.locals(pending=PendingWrites, refused=list)
    cdef bint _release(self) except -1
    cdef _continue(self, SocketCore socket)
    cdef bint _post_keep_write(self, SocketCore socket) except -1
    cdef _post(self, SocketCore socket)
    @cython.locals(now=double)
    cdef _post_again(self, SocketCore socket)
    cdef _pause(self, SocketCore socket, double pause_s)
    cdef bint _retry_take(self, SocketCore socket) except -1
    @cython.locals(refused=list)
    cdef _retry_in_a_thread(self, SocketCore socket)
    cdef _retry_or_give_up(self, SocketCore socket)
    cdef _wait_for_room(self, SocketCore socket)
    cdef _fail(self, SocketCore socket, object error)
    @cython.locals(
        pending=PendingWrites, request=WriteRequest, left=Py_ssize_t, stops_at=double
    )
    cdef _drain(self, SocketCore socket)
