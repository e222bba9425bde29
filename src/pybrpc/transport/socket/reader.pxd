cimport cython
from pybrpc.transport.writing.backlog cimport Backlog
from pybrpc.transport.socket.socket cimport Socket


cdef class SocketReader:
    cdef readonly object _cutter
    cdef object _discard_left
    cdef Backlog _unanswered
    cdef bint _is_discarding
    cdef bint _is_paused
    cdef bint _pauses_when_crowded
    cdef readonly object bytes_read
    cdef readonly bint has_ended
    cdef readonly object messages_read
    cdef readonly object reads

    @cython.locals(left=Py_ssize_t, count=Py_ssize_t)
    cpdef on_readable(self, Socket socket)

    @cython.locals(count=Py_ssize_t)
    cdef Py_ssize_t _read_once(self, Socket socket) except? -2
    cdef Py_ssize_t _read(self, Socket socket, object layer) except? -2
    @cython.locals(wanted=Py_ssize_t)
    cdef Py_ssize_t _read_size(self) except -1
    cdef _read_on(self, Socket socket)
    @cython.locals(messages=list, crowded=Backlog)
    cdef _cut(self, Socket socket)
    cdef _end(self, Socket socket)
    cdef _discard(self, Socket socket, Py_ssize_t count)
    @cython.locals(unanswered=Backlog)
    cdef Backlog _what_is_crowded(self, Socket socket)
    cdef _pause(self, Socket socket, Backlog crowded)
