cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf
from pybrpc.protocols.streaming.stream_frame cimport append_data
from pybrpc.streams.gathered_frames cimport GatheredFrames
from pybrpc.streams.send_queue cimport SendQueue


cdef class SendSide:
    cdef object __weakref__
    cdef public bint _close_is_sent
    cdef bytes _continued_meta
    cdef readonly long long _kept_bytes
    cdef Py_ssize_t _max_segment_size
    cdef bytes _meta
    cdef readonly bint _was_full
    cdef readonly long long _window
    cdef readonly bint closed_by_peer
    cdef readonly list consumed_waits
    cdef readonly object failure
    cdef readonly bint has_ended
    cdef readonly object id
    cdef readonly bint is_closing
    cdef readonly bint is_open
    cdef readonly bint is_over
    cdef public object given
    cdef public bint is_ready
    cdef public bint is_served
    cdef public long long joins_after
    cdef readonly object options
    cdef public object outgoing
    cdef readonly long long produced
    cdef readonly SendQueue queue
    cdef readonly long long remote_consumed
    cdef readonly object remote_id
    cdef readonly object table
    cdef readonly bint writable
    cdef readonly long long writing

    @cython.locals(
        queue=SendQueue,
        frames=IOBuf,
        marked="long long",
        before=Py_ssize_t,
        gathered=GatheredFrames,
        is_short=bint,
        is_counted=bint,
    )
    cpdef bint try_send(self, object message) except -1
    cpdef bint has_window(self) except -1
    cpdef bint has_sendable(self) except -1
    cdef bint _may_go_on(self) except -1
    @cython.locals(size=Py_ssize_t)
    cdef _append(self, IOBuf frames, object message)
