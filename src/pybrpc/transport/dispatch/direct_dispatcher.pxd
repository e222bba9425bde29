cimport cython
from pybrpc.base.gil_atomic cimport GilAtomicRef
from pybrpc.transport.dispatch.direct_waiter cimport DirectWaiter
from pybrpc.transport.dispatch.epoll_dispatcher cimport EpollDispatcher


cdef class DirectDispatcher:
    cdef object __weakref__
    cdef readonly int _fd
    cdef readonly bint _has_missed
    cdef readonly GilAtomicRef _holder
    cdef readonly bint _is_recalled
    cdef readonly bint _is_silent
    cdef readonly object _left
    cdef readonly object _own_posts
    cdef readonly object _own_writer
    cdef readonly object _reader
    cdef readonly EpollDispatcher _shared
    cdef readonly long long _turn_thread
    cdef readonly bint _wants_listening
    cdef readonly dict _writers

    cpdef bint try_enter(self, DirectWaiter waiter) except -1
    @cython.locals(left_s=double)
    cpdef read_for(self, DirectWaiter waiter, double deadline)
    cpdef leave(self, DirectWaiter waiter)
    cpdef require_reader(self)
    @cython.locals(mask=int, ready=int)
    cdef _wait_and_run(self, DirectWaiter waiter, double left_s)
    cdef _run(self, DirectWaiter waiter, object function)
    @cython.locals(waiter=DirectWaiter)
    cpdef bint has_entered(self) except -1
    cdef _recall(self)
    cdef bint _be_silent(self) except -1
    cdef _listen(self)
    cdef _look_after_release(self)
    cdef _run_left(self)
    cdef _drain_soon(self)
    cpdef bint is_current(self) except -1
    cpdef post(self, object function)
    cpdef complete(self, object work)
    cpdef post_costly(self, object work)
