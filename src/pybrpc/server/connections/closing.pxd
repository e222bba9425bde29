from pybrpc.server.calls.interfaces cimport CallConnection
from pybrpc.server.connections.server_core cimport ServerCore


cdef class ClosableConnection(CallConnection):
    cdef bint _has_peer_ended
    cdef readonly dict _holds
    cdef readonly object exchange
    cdef readonly bint is_closing
    cdef readonly bint is_retired
    cdef readonly ServerCore server

    cpdef bint is_held(self) except -1
