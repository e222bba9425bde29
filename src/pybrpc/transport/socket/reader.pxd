cimport cython
from pybrpc.transport.writing.backlog cimport Backlog
from pybrpc.transport.writing.socket_core cimport SocketCore
from pybrpc.transport.writing.writer cimport SocketWriter


cdef class SocketReader:
    cdef readonly object _cutter
    cdef object _discard_left
    cdef Backlog _unanswered
    cdef bint _is_discarding
    cdef bint _is_paused
    cdef bint _pauses_when_overcrowded
    cdef SocketWriter _writer
    cdef readonly object bytes_read
    cdef readonly bint has_ended
    cdef readonly object messages_read
    cdef readonly object reads

    @cython.locals(count=Py_ssize_t)
    cdef Py_ssize_t _read_once(self, SocketCore socket) except? -2
    cdef Py_ssize_t _read(self, SocketCore socket, object layer) except? -2
    @cython.locals(wanted=Py_ssize_t)
    cdef Py_ssize_t _read_size(self) except -1
    cdef _read_on(self, SocketCore socket)
    @cython.locals(messages=list, backlog=Backlog)
    cdef _cut(self, SocketCore socket)
    cdef _end(self, SocketCore socket)
    cdef _discard(self, SocketCore socket, Py_ssize_t count)
    @cython.locals(unanswered=Backlog)
    cdef Backlog _overcrowded_backlog(self, SocketCore socket)
    cdef _pause(self, SocketCore socket, Backlog backlog)
