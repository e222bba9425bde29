from pybrpc.client.loop_wakes cimport LoopWakes


cdef class LoopSide:
    cdef readonly bint is_foreign
    cdef readonly object lease
    cdef readonly object loop
    cdef readonly object source
    cdef readonly LoopWakes wakes
