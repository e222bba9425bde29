cimport cython
from pybrpc.transport.dispatch.poller_role cimport Waiter


cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    int c_poll "poll"(pollfd *fds, unsigned long count, int timeout_ms)


cdef inline int poll_two(int fd, int mask, int wake_fd, double timeout_s):
    """The events that `fd` is ready for; -1 if only `wake_fd` is readable; -2 after an error."""
    cdef pollfd fds[2]
    cdef int count
    cdef int timeout_ms = <int>(timeout_s * 1000.0) + 1
    fds[0].fd = fd
    fds[0].events = <short>mask
    fds[0].revents = 0
    fds[1].fd = wake_fd
    fds[1].events = 1
    fds[1].revents = 0
    with nogil:
        count = c_poll(fds, 2, timeout_ms)
    if count < 0:
        return -2
    if fds[1].revents and not fds[0].revents:
        return -1
    return fds[0].revents


cdef class ThreadPoller:
    cdef object __weakref__
    cdef object _poll
    cdef readonly int _fd
    cdef readonly int _mask
    cdef readonly bint _is_main
    cdef readonly int _wake_fd
    cdef readonly int _wake_write_fd
    cdef list _wake_files
    cdef public bint is_taken

    @cython.locals(found=int)
    cpdef int wait(self, int fd, int mask, double timeout_s) except -1
    cpdef wake(self)
    cpdef close(self)


cpdef ThreadPoller poller_of_thread()


cdef class DirectWaiter(Waiter):
    cdef readonly ThreadPoller _poller
    cdef public object entered
    cdef public bint is_diverted
    cdef public bint is_polling
    cdef public bint may_enter
    cdef readonly long long thread

    cpdef wake(self)
    @cython.locals(poller=ThreadPoller)
    cpdef end_poll(self)
    @cython.locals(poller=ThreadPoller)
    cpdef forget_poller(self)
    @cython.locals(poller=ThreadPoller)
    cpdef bint can_poll(self) except -1
    cpdef int poll(self, int fd, int mask, double timeout_s) except -1
