cdef object _get_current
cdef object _set_current
cdef bint _is_on
cdef bint _follows
cdef bint _has_current
cdef double _opens_at
cdef double _upstream_opens_at

cpdef bint wants_client_span(double now) except -1
cpdef bint wants_server_span(double now, bint is_traced) except -1
cpdef close_until(double opens_at, double upstream_opens_at)
