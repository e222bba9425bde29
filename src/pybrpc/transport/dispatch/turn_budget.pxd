cimport cython
from pybrpc.base.once_posted cimport OncePosted
from pybrpc.transport.dispatch.step_queue cimport Work


cdef class TurnBudget:
    cdef readonly object _deferred
    cdef object _loop
    cdef OncePosted _posted
    cdef readonly bint is_spent
    cdef readonly double ends_s
    cdef readonly double left_s

    cpdef charge(self, double seconds)
    cpdef charge_end(self)
    cpdef defer(self, Work work)
    cdef _post_refill(self)


cdef class BudgetedReader(Work):
    cdef TurnBudget _budget
    cdef object _function
    cdef bint _is_deferred
    cdef Py_ssize_t _long_runs
    cdef public bint is_removed

    @cython.locals(budget=TurnBudget, left_s=double)
    cpdef run(self)
