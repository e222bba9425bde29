cdef class GilAtomicRef:
    cdef object _value

    cpdef object get(self)
    cpdef object get_and_set(self, object desired)
    cpdef bint compare_and_set(self, object expected, object desired)


cdef class GilAtomicCounter:
    cdef long long _value

    cpdef long long increment_and_get(self, long long amount=*)
    cpdef long long decrement_and_get(self, long long amount=*)
    cpdef bint compare_and_set(self, long long expected, long long desired)
    cpdef long long get(self)
