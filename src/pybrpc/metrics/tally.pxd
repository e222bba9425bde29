cimport cython


@cython.locals(
    total="long long", largest="long long", value="long long", bucket="Py_ssize_t",
    shift="Py_ssize_t", counts=list
)
cpdef object tally_of_usual(list values)
