cimport cython


cdef int _generation
cdef object _get_current
cdef bint _has_served
cdef object _set_current
cdef dict _threads


@cython.final
@cython.freelist(512)
cdef class ServedCall:
    cdef int _generation
    cdef set _nested
    cdef readonly str cancel_reason
    cdef readonly double deadline
    cdef public object ids
    cdef readonly bint is_over

    cpdef bint add(self, object call) except -1
    cpdef discard(self, object call)
    cpdef end(self)
    cdef set _new_nested(self)


@cython.locals(served=ServedCall)
cpdef ServedCall new_served_call(double deadline)

@cython.final
cdef class HandlerThread:
    cdef tuple _usage
    cdef int _usages_left
    cdef public ServedCall served

    cpdef begin(self)
    @cython.locals(before=tuple, now=tuple)
    cpdef bint was_displaced(self) except -1
    @cython.locals(before=tuple, now=tuple)
    cpdef double own_s(self, double seconds) except? -1


@cython.locals(served=ServedCall, thread=HandlerThread)
cpdef ServedCall current_call()

@cython.locals(served=ServedCall, thread=HandlerThread)
cpdef object current_ids()

cpdef object set_current_call(ServedCall served)

@cython.locals(thread=HandlerThread)
cpdef HandlerThread handler_thread()
