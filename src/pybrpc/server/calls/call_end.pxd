cimport cython
from pybrpc.base.gil_atomic cimport GilAtomicCounter
from pybrpc.iobuf.iobuf cimport IOBuf
from pybrpc.server.calls.admission cimport Admission
from pybrpc.server.calls.interfaces cimport CallConnection
from pybrpc.server.calls.method_times cimport MethodTimes
from pybrpc.server.calls.server_call cimport ServerCall


@cython.final
cdef class CallEnd:
    cdef Admission _admission
    cdef GilAtomicCounter _errors
    cdef public tuple listeners
    cdef public tuple refusal_listeners
    cdef public tuple served_listeners

    @cython.locals(ended=list, now=double)
    cpdef end(self, CallConnection connection, list calls, IOBuf data)
    @cython.locals(admission=Admission, call=ServerCall, ended=list)
    cdef list _leave(self, list calls, double now)
    @cython.locals(call=ServerCall, times=MethodTimes)
    cdef _note(self, CallConnection connection, list calls, double now)
    @cython.locals(call=ServerCall, size_bytes="long long")
    cdef _forget(self, CallConnection connection, list calls)
    @cython.locals(call=ServerCall, now=double)
    cdef _notify(self, list calls)


cpdef write_answer(object socket, IOBuf data)
