cdef class CallRunner:
    cdef object _call
    cdef object _calls
    cdef object _context
    cdef object _controller
    cdef object _coroutine
    cdef bint _has_waited
    cdef object _loop

    cdef _run_calls(self)
    cdef _start(self, object call)
    cdef _step(self, object step, object argument)
    cdef _fail(self, object error)
    cdef _answer(self, object response)
    cdef list _take_calls(self)


cdef _mark_of(object task)
