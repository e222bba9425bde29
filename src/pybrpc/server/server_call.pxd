cimport cython
from pybrpc.protocols.message cimport RpcRequest
from pybrpc.rpc.controller cimport Controller


cdef class ServerCall:
    cdef readonly object connection
    cdef readonly object entry
    cdef readonly double received_at
    cdef readonly RpcRequest request

    @cython.locals(controller=Controller, started_at=double, now=double)
    cpdef run(self, object outbox)

    @cython.locals(controller=Controller, request=RpcRequest)
    cdef Controller _make_controller(self)
    cdef _parse(self)
    cdef _fail(self, Controller controller, object error)
    cdef _pack(self, Controller controller, object response)
    cdef _not_too_much(self, object answer)
    cdef _pack_success(self, Controller controller, object response)
