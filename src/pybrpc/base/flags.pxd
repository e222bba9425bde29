cimport cython
from pybrpc.base.gil_atomic cimport GilAtomicCounter


cdef extern from *:
    """
    static void *make_held_lock(void)
    {
        PyThread_type_lock lock = PyThread_allocate_lock();
        if (lock == NULL)
            PyErr_NoMemory();
        else
            PyThread_acquire_lock(lock, NOWAIT_LOCK);
        return lock;
    }

    static void free_lock(void *lock)
    {
        if (lock != NULL)
            PyThread_free_lock(lock);
    }

    static void release_lock(void *lock)
    {
        PyThread_release_lock(lock);
    }

    /* Release `first`, unless it is NULL, and acquire `lock`, both without the GIL. 1: acquired;
       0: not within `timeout_s` seconds, less than 0 for no limit; -1: a signal handler raised. */
    static int swap_locks(void *first, void *lock, double timeout_s)
    {
        PyLockStatus status;
        PY_TIMEOUT_T left_us = timeout_s < 0 ? -1 : (PY_TIMEOUT_T)(timeout_s * 1e6);
        struct timespec now;
        double ends_at;
        if (first == NULL && PyThread_acquire_lock(lock, NOWAIT_LOCK))
            return 1;
        clock_gettime(CLOCK_MONOTONIC, &now);
        ends_at = now.tv_sec + now.tv_nsec * 1e-9 + timeout_s;
        for (;;) {
            Py_BEGIN_ALLOW_THREADS
            if (first != NULL)
                PyThread_release_lock(first);
            first = NULL;
            status = PyThread_acquire_lock_timed(lock, left_us, 1);
            Py_END_ALLOW_THREADS
            if (status != PY_LOCK_INTR)
                return status == PY_LOCK_ACQUIRED;
            if (PyErr_CheckSignals() < 0)
                return -1;
            if (timeout_s >= 0) {
                clock_gettime(CLOCK_MONOTONIC, &now);
                left_us = (PY_TIMEOUT_T)((ends_at - now.tv_sec - now.tv_nsec * 1e-9) * 1e6);
                if (left_us < 0)
                    left_us = 0;
            }
        }
    }

    static int acquire_lock(void *lock, double timeout_s)
    {
        return swap_locks(NULL, lock, timeout_s);
    }
    """
    void *make_held_lock() except NULL
    void free_lock(void *lock)
    void release_lock(void *lock)
    int acquire_lock(void *lock, double timeout_s) except -1
    int swap_locks(void *first, void *lock, double timeout_s) except -1


cdef bint IS_COMPILED


@cython.final
cdef class WakeSignal:
    cdef void *_handle
    cdef bint _is_set
    cdef object _lock

    cpdef set(self)
    cpdef bint wait(self, double timeout_s=*) except -1
    cpdef bint wait_until(self, double deadline) except -1
    @cython.locals(left_s=double, is_set=bint)
    cpdef bint set_other_and_wait(self, WakeSignal other, double deadline) except -1
    cpdef bint is_set(self) except -1
    @cython.locals(is_set=bint)
    cdef bint _acquire(self, WakeSignal other, double timeout_s) except -1


@cython.final
cdef class OnceFlag:
    cdef GilAtomicCounter _count

    cpdef bint try_set(self) except -1
    cpdef clear(self)
    cpdef bint is_set(self) except -1
