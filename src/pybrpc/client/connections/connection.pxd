cimport cython
from pybrpc.base.gil_atomic cimport GilAtomicCounter


cdef class ClientConnection:
    cdef readonly dict _holds
    cdef readonly bint _is_clean
    cdef readonly object _pool
    cdef readonly bint _reports_idle
    cdef readonly GilAtomicCounter _uses
    cdef public object attempt_listeners
    cdef public object direct
    cdef public bint is_retired
    cdef public object owner
    cdef readonly object socket
    cdef readonly object timeouts

    cpdef bint is_usable(self) except -1
    cpdef begin_use(self)
    cdef _note_end(self, bint is_clean)
    cpdef bint is_held(self) except -1
    cpdef on_messages(self, object socket, list messages)
