from pybrpc.client.call cimport Call


cdef class LoopMailbox:
    cdef readonly object _calls
    cdef readonly bint _is_woken
    cdef readonly object _loop

    cpdef put(self, AioCall call)


cdef class AioCall(Call):
    cdef readonly object _channel
    cdef readonly object _future
    cdef readonly object _loop
    cdef readonly LoopMailbox _mailbox

    cpdef object begin(self, object loop, LoopMailbox mailbox, object channel)
    cpdef on_done(self)
    cpdef settle(self)


cdef class AioCallOfThreads(AioCall):
    cpdef object begin(self, object loop, LoopMailbox mailbox, object channel)
    cpdef on_done(self)
