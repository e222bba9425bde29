cimport cython
from pybrpc.client.cluster.balancing.base_picker cimport BasePicker
from pybrpc.client.cluster.cluster_server cimport ClusterServer


@cython.final
@cython.freelist(64)
cdef class Pick:
    cdef list _open
    cdef object _router
    cdef public Pick backup_pick
    cdef public double begun_at
    cdef public double limit_s
    cdef public BasePicker picker
    cdef public ClusterServer server
    cdef public tuple tried

    cpdef end(self, long long code, object canceled_by)


@cython.locals(pick=Pick)
cpdef Pick new_pick(
    object router,
    BasePicker picker,
    ClusterServer server,
    double begun_at,
    double limit_s,
    tuple tried,
)
