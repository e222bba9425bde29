cdef class ClientConnection:
    cdef readonly bint _reports_idle
    cdef public bint is_retired
    cdef public object owner
    cdef readonly object socket
    cdef readonly object timeouts

    cpdef bint is_usable(self) except -1
    cpdef on_messages(self, object socket, list messages)
