"""A cluster on a virtual clock: simulated clients and servers, with pybrpc's own balancers.

`python -m bench.cluster` runs scenarios and prints a table; tests run the same ones. A run is the
same again with the same seed. Clients, servers, the network and faults are simulated; what picks a
server for a call, leaves servers out, and allows retries is the code that runs in channels.
"""
