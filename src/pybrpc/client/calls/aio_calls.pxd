cimport cython
from pybrpc.base.once_posted cimport OncePosted
from pybrpc.client.calls.call cimport Call

cdef class LoopBinding:
    cdef readonly BatchedCallbacks callbacks
    cdef readonly bint crosses_threads
    cdef readonly object loop
    cdef readonly object source

cdef class BatchedCallbacks:
    cdef object _calls
    cdef OncePosted _collected
    cdef bint _is_debugged
    cdef object _loop
    cdef OncePosted _settled
    cdef list _waiting

    cpdef put(self, object call)

cdef class AioCall(Call):
    cdef readonly LoopBinding _binding
    cdef readonly object _channel
    cdef readonly object _future

    cpdef object begin(self, LoopBinding binding, object channel)
    @cython.locals(binding=LoopBinding)
    cpdef on_done(self)
    cpdef settle(self)
    cdef _set_future(self, object message)


cdef class CrossThreadAioCall(AioCall):
    cpdef object begin(self, LoopBinding binding, object channel)
    cpdef on_done(self)


@cython.locals(call=AioCall)
cpdef AioCall new_aio_call(
    LoopBinding binding,
    object method,
    object request,
    object timeout_s,
    object options,
    object controller,
)
