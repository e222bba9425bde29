cimport cython
from pybrpc.client.cluster.balancing.base_picker cimport BasePicker
from pybrpc.client.cluster.balancing.peak_ewma cimport PeakEwma
from pybrpc.client.cluster.cluster_server cimport ClusterServer


cdef class P2cPicker(BasePicker):
    cdef Py_ssize_t _choices
    cdef bint _learns_more
    cdef tuple _loads
    cdef double _max_punish_s
    cdef object _random
    cdef double _tau_s

    @cython.locals(
        servers=tuple,
        count=Py_ssize_t,
        draw=double,
        pair=Py_ssize_t,
        first=Py_ssize_t,
        second=Py_ssize_t,
        one=ClusterServer,
        other=ClusterServer,
    )
    cpdef ClusterServer pick(self, tuple tried, object hash_key, double now)
    @cython.locals(load=PeakEwma, latency_s=double)
    cpdef on_end(
        self,
        ClusterServer server,
        double begun_at,
        double now,
        object outcome,
        double limit_s,
    )
    cdef double _punished(self, PeakEwma load, double latency_s, double limit_s)
    @cython.locals(
        server=ClusterServer, load=PeakEwma, in_flight=cython.longlong, latency_s=double,
        weight=double,
    )
    cdef double _score(self, Py_ssize_t index, double now)
    @cython.locals(
        count=Py_ssize_t, found=list, index=Py_ssize_t, place=Py_ssize_t, other=Py_ssize_t,
        best=Py_ssize_t, best_score=double, start=Py_ssize_t, score=double,
    )
    cdef ClusterServer _pick_of_eligible(self, tuple tried, double now)
    @cython.locals(server=ClusterServer)
    cdef bint _is_eligible(self, Py_ssize_t index, tuple tried)
