cimport cython
from pybrpc.client.calls.call_record cimport CallRecord
from pybrpc.client.cluster.pick cimport Pick
from pybrpc.client.cluster.router cimport Router
from pybrpc.client.connections.connection cimport ClientConnection


@cython.final
cdef class Finder:
    cdef object _check_hope
    cdef object _connections
    cdef bint _needs_hash_key
    cdef Router _router
    cdef object _states
    cdef dict _waiting

    cpdef ClientConnection get(self, CallRecord call)
    @cython.locals(
        router=Router,
        last=Pick,
        pick=Pick,
        tried=tuple,
        limit_s=double,
        connection=ClientConnection,
        _asked=Py_ssize_t,
    )
    cpdef ClientConnection find(self, CallRecord call)
