from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport EAGAIN, EINTR, ENOTSOCK, errno
from libc.string cimport memcpy


cdef extern from "<sys/socket.h>" nogil:
    enum:
        MSG_DONTWAIT
        MSG_NOSIGNAL
    Py_ssize_t c_send "send"(int fd, const void *data, size_t size, int flags)
    Py_ssize_t c_recv "recv"(int fd, void *data, size_t size, int flags)


cdef enum:
    STACK_BYTES = 16384


cdef inline int raise_unless_for_os() except -1:
    """Raise the error, which the kernel reports once, unless `os` can do better."""
    if errno != EAGAIN and errno != EINTR and errno != ENOTSOCK:
        PyErr_SetFromErrno(OSError)
    return 0


cdef inline Py_ssize_t send_at_once(int fd, bytes data) except -2:
    """The number of bytes sent; -1: `os` shall do it."""
    cdef Py_ssize_t count
    count = c_send(fd, PyBytes_AS_STRING(data), len(data), MSG_DONTWAIT | MSG_NOSIGNAL)
    if count < 0:
        raise_unless_for_os()
        return -1
    return count


cdef inline object receive_at_once(int fd, Py_ssize_t max_bytes):
    """The bytes received, which may be few of many; None: `os` shall do it."""
    cdef char buffer[STACK_BYTES]
    cdef Py_ssize_t count, more
    count = c_recv(fd, buffer, min(max_bytes, <Py_ssize_t>STACK_BYTES), MSG_DONTWAIT)
    if count < 0:
        raise_unless_for_os()
        return None
    if count < STACK_BYTES or max_bytes <= STACK_BYTES:
        return PyBytes_FromStringAndSize(buffer, count)
    data = PyBytes_FromStringAndSize(NULL, max_bytes)
    memcpy(PyBytes_AS_STRING(data), buffer, count)
    more = c_recv(fd, PyBytes_AS_STRING(data) + count, max_bytes - count, MSG_DONTWAIT)
    if more < 0:
        more = 0
    return data if count + more == max_bytes else data[:count + more]


cpdef Py_ssize_t write_short(object fd, object data) except -1
cpdef object read_short(object fd, Py_ssize_t max_bytes)
