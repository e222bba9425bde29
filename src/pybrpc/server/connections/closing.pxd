from pybrpc.server.calls.interfaces cimport CallConnection
from pybrpc.server.connections.server_core cimport ServerCore
from pybrpc.transport.socket.message_cutter cimport MessageCutter


cdef class ClosableConnection(CallConnection):
    cdef MessageCutter _cutter
    cdef bint _has_peer_ended
    cdef readonly set calls
    cdef readonly bint is_closing
    cdef readonly bint is_retired
    cdef readonly ServerCore server
