cimport cython
from pybrpc.protocols.message cimport RpcRequest, new_request
from pybrpc.server.calls.admission cimport Admission
from pybrpc.server.calls.method_entry cimport MethodEntry
from pybrpc.server.calls.server_call cimport ServerCall, new_server_call
from pybrpc.server.connections.server_connection cimport ServerConnection
from pybrpc.server.connections.server_core cimport ServerCore
from pybrpc.server.http.call_form cimport CallFacts, CallForm, MethodTraits, new_call_form
from pybrpc.server.http.exchange cimport HttpExchange
from pybrpc.server.http.request cimport HttpRequest
from pybrpc.server.http.resolved_head cimport ResolvedHead


cdef class MethodTarget:
    cdef MethodTraits _traits
    cdef readonly MethodEntry entry
    cdef readonly bint has_side_effects
    cdef readonly object method
    cdef readonly object service

    cpdef begin(self, object exchange, HttpRequest request)
    @cython.locals(
        connection=ServerConnection,
        admission=Admission,
        entry=MethodEntry,
        resolved=ResolvedHead,
        facts=CallFacts,
        rpc=RpcRequest,
        call=ServerCall,
        body=bytes,
        form=CallForm,
    )
    cdef _admit(self, HttpExchange exchange, HttpRequest request, list calls, object queue)
    cpdef run(self, HttpExchange exchange, HttpRequest request, list calls)
