cimport cython
from pybrpc.transport.dispatch.turn_budget cimport TurnBudget
from pybrpc.transport.writing.backlog cimport Backlog
from pybrpc.transport.writing.socket_core cimport SocketCore
from pybrpc.transport.writing.writer cimport SocketWriter


cdef class SocketReader:
    cdef object _discard_left
    cdef Backlog _unanswered
    cdef bint _has_answered
    cdef bint _has_more
    cdef bint _is_discarding
    cdef bint _is_paused
    cdef bint _is_plain
    cdef bint _is_read_posted
    cdef bint _pauses_when_overcrowded
    cdef readonly object _session
    cdef SocketWriter _writer
    cdef readonly object bytes_read
    cdef readonly bint has_ended
    cdef readonly object messages_read
    cdef readonly object reads

    @cython.locals(budget=TurnBudget)
    cpdef on_readable(self, SocketCore socket)
    @cython.locals(is_spent=bint)
    cdef _read_within(self, TurnBudget budget, SocketCore socket)
    @cython.locals(left=Py_ssize_t, count=Py_ssize_t)
    cdef _read_more(self, SocketCore socket)
    @cython.locals(count=Py_ssize_t, is_layered=bint)
    cdef Py_ssize_t _read_once(self, SocketCore socket) except? -2
    @cython.locals(budget=TurnBudget)
    cdef Py_ssize_t _read(self, SocketCore socket, object layer) except? -2
    @cython.locals(size=Py_ssize_t, started_at=double)
    cdef Py_ssize_t _read_and_charge(
        self, SocketCore socket, object layer, TurnBudget budget
    ) except? -2
    @cython.locals(wanted=Py_ssize_t)
    cdef Py_ssize_t _read_size(self) except -1
    cdef _read_on(self, SocketCore socket)
    cdef _cut_more(self, SocketCore socket)
    @cython.locals(started_at=double)
    cdef _cut_and_charge(self, SocketCore socket, TurnBudget budget)
    @cython.locals(messages=list, backlog=Backlog)
    cdef _cut(self, SocketCore socket)
    cdef _hand_over(self, SocketCore socket, list messages)
    cdef _fail(self, SocketCore socket, object error)
    cdef _look_after_session(self, SocketCore socket, list messages)
    @cython.locals(messages=list)
    cdef _end_session(self, SocketCore socket)
    @cython.locals(budget=TurnBudget)
    cdef _end(self, SocketCore socket)
    cdef _discard(self, SocketCore socket, Py_ssize_t count)
    @cython.locals(unanswered=Backlog)
    cdef Backlog _overcrowded_backlog(self, SocketCore socket)
    cdef _pause(self, SocketCore socket, Backlog backlog)
