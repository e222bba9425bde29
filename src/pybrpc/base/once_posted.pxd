cimport cython


@cython.final
cdef class OncePosted:
    cdef double _expires_at
    cdef double _watched_until

    @cython.locals(expires_at=double)
    cpdef bint is_posted(self) except -1
    cpdef begin(self)
    @cython.locals(now=double)
    cpdef post(self, object loop, object run, object has_work)
    @cython.locals(now=double)
    cpdef post_threadsafe(self, object loop, object run, object has_work)
