cimport cython


cdef class Work:
    cpdef run(self)


cdef class FunctionWork(Work):
    cdef object _argument
    cdef object _description
    cdef object _function

    cpdef run(self)


cdef class StepQueue:
    cdef object _append
    cdef readonly Py_ssize_t _most
    cdef object _pop_oldest
    cdef readonly double _step_s
    cdef readonly object _waiting
    cdef readonly bint is_running

    cpdef add(self, Work work)
    cpdef bint is_empty(self) except -1
    @cython.locals(stops_at=double, left=Py_ssize_t)
    cpdef run_step(self)
    @cython.locals(work=Work)
    cdef bint _run_oldest(self) except -1


cpdef run_work(Work work)
