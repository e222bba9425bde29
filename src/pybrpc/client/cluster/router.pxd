cimport cython
from pybrpc.client.cluster.balancing.base_picker cimport BasePicker
from pybrpc.client.cluster.breaking.retry_budget cimport RetryTokens
from pybrpc.client.cluster.breaking.server_health cimport ServerHealth
from pybrpc.client.cluster.cluster_server cimport ClusterServer
from pybrpc.client.cluster.pick cimport Pick, new_pick


cdef class Router:
    cdef object _balancer
    cdef object _classifier
    cdef object _make
    cdef object _now
    cdef object _on_unused
    cdef dict _servers
    cdef RetryTokens _tokens
    cdef object _turns
    cdef readonly str name
    cdef public BasePicker picker
    cdef public object states

    cpdef note_call(self)
    cpdef Pick pick(self, tuple tried, object hash_key, double limit_s)
    @cython.locals(now=double, picker=BasePicker, server=ClusterServer, pick=Pick)
    cdef Pick _pick(self, tuple tried, object hash_key, double limit_s)
    @cython.locals(now=double, server=ClusterServer, health=ServerHealth, latency_s=double)
    cpdef end(self, Pick pick, long long code, object canceled_by)
    cpdef note_unused(self, ClusterServer server)
