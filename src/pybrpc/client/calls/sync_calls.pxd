cimport cython
from pybrpc.client.calls.call cimport Call
from pybrpc.transport.dispatch.completion cimport (
    release_polling,
    require_polling,
    run_completion,
)
from pybrpc.transport.dispatch.direct_dispatcher cimport DirectDispatcher
from pybrpc.transport.dispatch.direct_waiter cimport DirectWaiter
from pybrpc.transport.dispatch.poller_role cimport Waiter


cdef _require_polling(Call call, object dispatcher)


cdef class BlockingCall(Call):
    cdef readonly Waiter _waiter

    @cython.locals(waiter=Waiter)
    cpdef wait(self)
    cpdef on_done(self)
    @cython.locals(waiter=DirectWaiter, direct=DirectDispatcher)
    cpdef begin_reading(self, object connection)
    @cython.locals(waiter=DirectWaiter, direct=DirectDispatcher)
    cpdef stop_reading(self)
    @cython.locals(direct_waiter=DirectWaiter, direct=DirectDispatcher)
    cdef bint _wait_until(self, double deadline) except -1


cdef class FutureCall(Call):
    cdef readonly object _channel
    cdef readonly object _dispatcher
    cdef readonly object _future

    cpdef begin(self, object channel)
    cpdef on_done(self)
    cpdef run(self)
    cdef _settle(self, object message)


cdef class CallbackCall(Call):
    cdef readonly object _channel
    cdef readonly object _dispatcher
    cdef readonly object _done

    cpdef begin(self, object done, object channel)
    cpdef on_done(self)
    cpdef run(self)
    cdef _call_done(self, object message)


@cython.locals(call=BlockingCall)
cpdef BlockingCall new_blocking_call(
    object source,
    object method,
    object request,
    object timeout_s,
    object options,
    object controller,
)


@cython.locals(call=FutureCall)
cpdef FutureCall new_future_call(
    object source,
    object method,
    object request,
    object timeout_s,
    object options,
    object controller,
)


@cython.locals(call=CallbackCall)
cpdef CallbackCall new_callback_call(
    object source,
    object method,
    object request,
    object timeout_s,
    object options,
    object controller,
)
