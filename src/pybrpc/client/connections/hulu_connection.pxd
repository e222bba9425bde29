cimport cython
from pybrpc.client.calls.call_record cimport CallRecord
from pybrpc.client.connections.rpc_connection cimport RpcConnection
from pybrpc.protocols.message cimport RpcRequest


cdef class HuluConnection(RpcConnection):
    cdef _pack(self, CallRecord call, object correlation_id)
    @cython.locals(request=RpcRequest)
    cdef RpcRequest _request_of(self, CallRecord call, object correlation_id)
