cimport cython
from pybrpc.client.cluster.cluster_server cimport ClusterServer


@cython.final
@cython.freelist(64)
cdef class Pick:
    cdef list _open
    cdef object _router
    cdef public Pick backup_pick
    cdef readonly double begun_at
    cdef readonly double limit_s
    cdef readonly object picker
    cdef readonly ClusterServer server
    cdef readonly tuple tried

    cpdef end(self, int code, object canceled_by)
