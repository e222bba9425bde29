cdef class MessageType:
    cdef readonly object message_class
    cdef readonly bint can_be_incomplete
    cdef object _serialize
    cdef object _from_string

    cpdef bint has(self, object message) except -1
    cpdef bint is_complete(self, object message) except -1
    cpdef object serialize(self, object message)
    cpdef object parse(self, object data)
