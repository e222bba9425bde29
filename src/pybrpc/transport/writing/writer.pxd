cimport cython
from pybrpc.transport.writing.backlog cimport Backlog
from pybrpc.transport.writing.pending_writes cimport PendingWrites, note_begun
from pybrpc.transport.writing.socket_core cimport SocketCore
from pybrpc.transport.writing.write_queue cimport WriteQueue
from pybrpc.transport.writing.write_request cimport WriteRequest


cdef class SocketWriter:
    cdef WriteRequest _close_request
    cdef object _cut_off_steps
    cdef bint _layer_is_full
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

    @cython.locals(outcomes=list, has_right=bint)
    cdef _begin(self, SocketCore socket, WriteRequest request)
    cdef _hand_over_right(self, SocketCore socket, list outcomes)
    cdef bint _defers_write(self, SocketCore socket) except -1
    cdef _give_up(self, SocketCore socket, object reason, list outcomes, bint has_right=*)
    @cython.locals(is_whole=bint, may_go_on=bint)
    cdef bint _write_batches(self, SocketCore socket, list outcomes) except -1
    @cython.locals(taken=list)
    cdef bint _take_more(self) except -1
    @cython.locals(pending=PendingWrites, batch=list, request=WriteRequest)
    cdef bint _write_batch(self, SocketCore socket, list outcomes) except -1
    cdef _continue(self, SocketCore socket, list outcomes)
    cdef _retry_cut_list(self, SocketCore socket, list outcomes)
    cdef _wait_for_room(self, SocketCore socket)
    @cython.locals(pending=PendingWrites, request=WriteRequest, taken=list)
    cdef _drain(self, SocketCore socket, list outcomes)
