cimport cython
from pybrpc.base.gil_atomic cimport GilAtomicCounter
from pybrpc.server.calls.call_queue cimport CallQueue
from pybrpc.server.running.inline_runner cimport InlineRunner
from pybrpc.server.running.scheduler cimport Scheduler
from pybrpc.server.running.worker cimport Worker
from pybrpc.server.running.worker_slots cimport WorkerSlots


cdef class WorkerPool:
    cdef object __weakref__
    cdef object _idle
    cdef InlineRunner _inline_runner
    cdef object _invoker
    cdef bint _is_watching
    cdef bint _is_closed
    cdef object _shortage
    cdef WorkerSlots _slots
    cdef GilAtomicCounter _spawned
    cdef long long _step
    cdef long long _submitted
    cdef double _sweeps_at
    cdef long long _taken
    cdef object _watch
    cdef long long _woken
    cdef set _workers
    cdef readonly Scheduler scheduler

    cpdef submit(self, CallQueue queue, list calls, bint are_quick=*)
    cpdef submit_dedicated(self, CallQueue queue, object call)
    cdef _wake_worker(self)
    cdef Worker _pop_idle(self)
    @cython.locals(worker=Worker)
    cdef _add_workers(self, long long count)
    cdef _begin_watch(self)
    @cython.locals(moved="long long", wanted="long long")
    cdef long long _workers_wanted(self, long long waiting) except -1
    @cython.locals(worker=Worker, keeps_back=bint)
    cdef bint _flush_batches(self, double now) except -1
