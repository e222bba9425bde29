"""A cluster: many servers behind one channel.

`naming` finds the servers, `balancing` picks one for each attempt of a call, `breaking` decides
which servers are left out for a while. What is here joins them. None of these knows channels; all
but the ClusterSource do no I/O and take the time as an argument, so the simulator runs them too.
"""
