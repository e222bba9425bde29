cimport cython


@cython.locals(
    total="long long", largest="long long", value="long long", bucket="Py_ssize_t",
    shift="Py_ssize_t", counts="long long[961]"
)
cpdef object tally_of_usual(list values)
