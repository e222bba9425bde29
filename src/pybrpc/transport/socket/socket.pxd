from pybrpc.transport.writing.backlog cimport Backlog
from pybrpc.transport.socket.reader cimport SocketReader
from pybrpc.transport.writing.write_request cimport WriteRequest
from pybrpc.transport.writing.writer cimport SocketWriter


cdef class Socket:
    cdef object __weakref__
    cdef readonly object _closing
    cdef readonly object _connecting
    cdef readonly object _failure
    cdef readonly object _is_attended
    cdef readonly object _is_awaited
    cdef readonly SocketReader _reader
    cdef readonly object _refused
    cdef readonly object _sock
    cdef readonly object _user
    cdef readonly SocketWriter _writer
    cdef readonly Backlog backlog
    cdef public object dispatcher
    cdef readonly object error
    cdef public object fd
    cdef public object id
    cdef public bint is_connected
    cdef public object layer
    cdef public object local_side
    cdef public object options
    cdef public object remote_side

    cpdef write_request(self, WriteRequest request, bint ignore_eovercrowded=*)
    cpdef list mark_failed(self, object error)
    cpdef dispatch_messages(self, list messages)
