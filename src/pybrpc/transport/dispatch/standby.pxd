cdef class StandbyPoller:
    cdef readonly object _bell
    cdef readonly long long _errands
    cdef readonly bint _is_asleep
    cdef bint _is_over
    cdef bint _is_urgent
    cdef double _offered_at
    cdef double _since
    cdef readonly object _token
    cdef public long long aside
    cdef readonly bint is_standing_by

    cpdef bint is_at_hand(self) except -1
    cpdef begin_inline(self)
    cpdef bint is_relieved(self) except -1
    cpdef bint come_back(self) except -1
    cpdef hasten(self)
    cpdef end(self)
    cdef bint _is_overdue(self) except -1
    cdef double _nap_s(self) except? -1
    cdef _sleep(self, long long errands)
    cdef _ring(self)
