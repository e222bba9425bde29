cimport cython
from pybrpc.client.calls.attempt cimport Attempt, new_attempt
from pybrpc.client.calls.call_record cimport CallRecord
from pybrpc.client.calls.call_times cimport CallTimes
from pybrpc.client.connections.connection cimport ClientConnection
from pybrpc.client.connections.connection_pool cimport ConnectionPool
from pybrpc.rpc.serving cimport current_call, ServedCall
from pybrpc.rpc.timeout_queue cimport TimeoutQueue, TimeoutQueues
from pybrpc.tracing.switch cimport wants_client_span


cdef class Call(CallRecord):
    cdef public object _abort_error
    cdef public object _place
    cdef public TimeoutQueue _timeout_queue

    @cython.locals(served=ServedCall)
    cpdef set_up(
        self,
        object source,
        object method,
        object request,
        object timeout_s,
        object options,
        object controller,
    )
    cpdef begin_reading(self, object connection)
    cpdef on_done(self)
    @cython.locals(timeouts=TimeoutQueues, queue=TimeoutQueue)
    cpdef start(self, bint expires=*)
    @cython.locals(queue=TimeoutQueue)
    cpdef on_response(self, Attempt attempt, object response)
    cpdef stop_reading(self)
    cdef _start_attempt(self, object connection=*)
    @cython.locals(
        live=ClientConnection, idle=ClientConnection, pool=ConnectionPool
    )
    cdef object _look_for_connection(self)
    @cython.locals(attempt=Attempt)
    cdef _send(self, object connection)
    @cython.locals(times=CallTimes)
    cpdef _end(self)
