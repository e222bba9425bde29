from pybrpc.base.gil_atomic cimport GilAtomicCounter


cdef class FdEvents:
    cdef object _epoll
    cdef bint _is_sealed
    cdef object _wake_write_fd
    cdef GilAtomicCounter _wakers
    cdef set _silent
    cdef readonly dict readers
    cdef readonly object wake_fd
    cdef readonly list wake_files
    cdef readonly dict writers

    cpdef list poll(self, double timeout_s)
    cpdef wake(self)
    cpdef take_wakes(self)
