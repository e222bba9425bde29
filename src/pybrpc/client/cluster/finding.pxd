cimport cython
from pybrpc.client.cluster.pick cimport Pick
from pybrpc.client.cluster.router cimport Router
from pybrpc.client.connections.connection cimport ClientConnection


@cython.locals(
    last=Pick, pick=Pick, tried=tuple, limit_s=double, connection=ClientConnection
)
cpdef ClientConnection find_connection(Router router, object call, bint needs_hash_key)
