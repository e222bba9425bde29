cimport cython
from pybrpc.client.connections.connection cimport ClientConnection
from pybrpc.transport.dispatch.direct_dispatcher cimport DirectDispatcher


@cython.final
cdef class ConnectionPool:
    cdef double _shares_until
    cdef readonly object _on_more
    cdef readonly object _waiting
    cdef readonly dict _watchers
    cdef public dict idle
    cdef readonly Py_ssize_t max_together
    cdef public bint may_grow
    cdef readonly dict used

    @cython.locals(together=Py_ssize_t)
    cpdef bint serves(self, bint is_blocking, ClientConnection shared) except -1
    cpdef ClientConnection take(self, object call)
    @cython.locals(idle=dict, item=tuple, taken=ClientConnection, in_use=list)
    cpdef ClientConnection take_now(self, object call)
    @cython.locals(direct=DirectDispatcher)
    cdef ClientConnection _use(
        self, ClientConnection connection, double since, object call, list in_use
    )
    cpdef put(self, ClientConnection connection)
    cpdef put_back(self, ClientConnection connection)
