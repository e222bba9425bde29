cimport cython


@cython.locals(
    total="long long", largest="long long", value="long long", bucket="long long",
    shift="long long", buckets=dict
)
cpdef object tally_of_usual(list values)
