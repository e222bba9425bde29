from pybrpc.transport.socket.reader cimport SocketReader
from pybrpc.transport.writing.socket_core cimport SocketCore
from pybrpc.transport.writing.write_request cimport WriteRequest
from pybrpc.transport.writing.writer cimport SocketWriter


cdef class Socket(SocketCore):
    cdef readonly object _closing
    cdef readonly object _connecting
    cdef readonly object _is_awaited
    cdef readonly SocketReader _reader
    cdef readonly object _refused
    cdef readonly object _requires_polling
    cdef readonly object _user
    cdef readonly SocketWriter _writer

    cpdef write_request(self, WriteRequest request, bint ignore_eovercrowded=*)
    cpdef dispatch_messages(self, list messages)
