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
    cpdef Controller make_controller(self)
    cpdef call_handler(self, Controller controller)
    cdef _parse(self)
    cpdef fail(self, Controller controller, object error)
    cpdef pack(self, Controller controller, object response)
    cdef _not_too_much(self, object answer)
    cdef _pack_success(self, Controller controller, object response)
