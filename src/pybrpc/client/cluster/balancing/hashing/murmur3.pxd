cimport cython


@cython.locals(
    data=bytes,
    value=cython.ulonglong,
    block=cython.ulonglong,
    size=Py_ssize_t,
    whole=Py_ssize_t,
    place=Py_ssize_t,
)
cpdef unsigned long long murmur3_of(bytes data)
