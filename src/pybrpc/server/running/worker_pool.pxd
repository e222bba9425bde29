cimport cython
from pybrpc.base.gil_atomic cimport GilAtomicCounter
from pybrpc.server.running.inline_runner cimport InlineRunner
from pybrpc.server.running.worker cimport Worker


cdef class WorkerPool:
    cdef object __weakref__
    cdef Worker _active_worker
    cdef object _idle
    cdef InlineRunner _inline_runner
    cdef bint _is_watching
    cdef bint _is_closed
    cdef long long _max_workers
    cdef GilAtomicCounter _spawned
    cdef long long _step
    cdef long long _submitted
    cdef long long _taken
    cdef long long _woken
    cdef GilAtomicCounter _worker_count
    cdef object _watch
    cdef set _workers
    cdef readonly object queue

    cpdef submit(self, list tasks, bint are_quick=*)
    cpdef wake_worker(self)
    cpdef bint has_room(self) except -1
    cpdef bint count_worker(self) except -1
    cpdef uncount_worker(self)
    cdef Worker _pop_idle(self)
    @cython.locals(worker=Worker)
    cdef _add_workers(self, long long count)
    cdef _begin_watch(self)
    @cython.locals(moved="long long", wanted="long long")
    cdef long long _workers_wanted(self, long long waiting) except -1
    @cython.locals(worker=Worker, keeps_back=bint)
    cdef bint _flush_batches(self, double now) except -1
