from pybrpc.transport.dispatch.turn_budget cimport TurnBudget
from pybrpc.transport.writing.backlog cimport Backlog


cdef class SocketCore:
    cdef object __weakref__
    cdef readonly object _failure
    cdef readonly object _sock
    cdef readonly Backlog backlog
    cdef readonly TurnBudget budget
    cdef public object dispatcher
    cdef readonly object error
    cdef public object fd
    cdef public object id
    cdef public bint is_connected
    cdef public object layer
    cdef public object local_side
    cdef readonly double made_at
    cdef public object options
    cdef public object remote_side

    cpdef bint begin_fail(self, object error) except -1
    cdef bint _note_failure(self, object error) except -1
    cpdef dispatch_messages(self, list messages)
