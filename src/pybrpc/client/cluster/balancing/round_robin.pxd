cimport cython
from pybrpc.base.gil_atomic cimport GilAtomicCounter
from pybrpc.client.cluster.balancing.base_picker cimport BasePicker
from pybrpc.client.cluster.cluster_server cimport ClusterServer


cdef class RoundRobinPicker(BasePicker):
    cdef GilAtomicCounter _turns

    @cython.locals(servers=tuple, count=Py_ssize_t, server=ClusterServer)
    cpdef ClusterServer pick(self, tuple tried, object hash_key, double now)
