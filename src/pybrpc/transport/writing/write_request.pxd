cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf


@cython.freelist(512)
@cython.trashcan(True)
cdef class WriteRequest:
    cdef public IOBuf data
    cdef public bint is_canceled
    cdef public bint write_started
    cdef public object message
    cdef public WriteRequest next
    cdef public bint notify_on_success
    cdef public object on_outcome
    cdef public object progress
    cdef public bint shutdown_write
    cdef public long long size_bytes

    @cython.locals(data=IOBuf)
    cpdef bytes short_data(self, Py_ssize_t max_bytes)
    cdef _set_fields(
        self,
        IOBuf data,
        object message,
        object on_outcome,
        bint notify_on_success,
        bint shutdown_write,
    )


@cython.locals(request=WriteRequest)
cpdef WriteRequest new_write_request(IOBuf data)


@cython.locals(request=WriteRequest)
cpdef WriteRequest new_message_request(object message, object on_outcome)


cdef class _Marker(WriteRequest):
    cdef object _name
