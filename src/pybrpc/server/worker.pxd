from pybrpc.server.outbox cimport Outbox


cdef class Worker:
    cdef public object followers
    cdef public bint is_running
    cdef readonly Outbox outbox
    cdef readonly object pool
    cdef public object task
    cdef public object thread
    cdef readonly object wakeup

    cdef _work(self)


cpdef run_task(object task, Outbox outbox)
