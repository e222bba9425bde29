cimport cython
from pybrpc.client.cluster.cluster_server cimport ClusterServer


cdef class BasePicker:
    cdef public tuple servers

    cpdef ClusterServer pick(self, tuple tried, object hash_key, double now)
    cpdef on_begin(self, ClusterServer server, double now)
    cpdef on_end(
        self,
        ClusterServer server,
        double begun_at,
        double now,
        object outcome,
        double limit_s,
    )
    @cython.locals(server=ClusterServer)
    cpdef list candidates(self, tuple tried)
    @cython.locals(server=ClusterServer)
    cpdef ClusterServer last_resort(self, tuple tried)
