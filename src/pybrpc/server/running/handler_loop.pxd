cimport cython
from pybrpc.iobuf.iobuf cimport IOBuf
from pybrpc.server.calls.response_batch cimport ResponseBatch
from pybrpc.server.calls.server_call cimport ServerCall


@cython.final
cdef class HandlerLoop:
    cdef bint _is_closed
    cdef object _loop
    cdef ResponseBatch _responses
    cdef readonly set _tasks
    cdef object _thread

    cpdef start_calls(self, list calls)
    cpdef put(self, object call, IOBuf data)
    @cython.locals(call=ServerCall)
    cdef _share_out(self, list calls)
    cdef _run_in_task(self, object calls)
