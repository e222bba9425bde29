"""AddressVariables: what is exposed of the calls to one address, of all channels together.

Below rpc_channel_ and the address, until the second after the last channel that has called it was
closed. There are at most 256 addresses at a time; the calls to all others count as those to
`_overflow`.

A channel may be closed by the garbage collector, in the middle of any code: then nothing may wait
for a lock. So what it leaves is cleaned up by the sampler.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import Protocol

from pybrpc.base.endpoint import Endpoint
from pybrpc.metrics.call_variables import CallVariables, expose_below_free_name
from pybrpc.metrics.multi_dimension import OVERFLOW
from pybrpc.metrics.names import exposed_name
from pybrpc.metrics.process_variables import expose_once
from pybrpc.metrics.sampler import default_sampler
from pybrpc.metrics.status import NumberOf
from pybrpc.transport.runtime import default_runtime
from pybrpc.transport.socket.socket_variables import expose_socket_variables

PREFIX = "rpc_channel"
MAX_ADDRESSES = 256


class AddressVariables(CallVariables):
    """Those of one address. Made by `ADDRESSES`."""

    __slots__ = ("address", "users")

    def __init__(self, address: str) -> None:
        super().__init__(f"calls to {address}")
        self.address = address
        self.users = 0
        expose_below_free_name(exposed_name(address, PREFIX), self.expose)

    def __repr__(self) -> str:
        return f"<AddressVariables of {self.address}, {self.users} users>"


class Leaving(Protocol):
    """A user of variables that was closed."""

    def leave_if_closed(self) -> None:
        """Release the variables."""


class Addresses:
    """The addresses of a process that are called. Any thread."""

    def __init__(self) -> None:
        self._variables: dict[str, AddressVariables] = {}
        self._closed: deque[Leaving] = deque()
        self._lock = threading.RLock()

    def acquire(self, endpoint: Endpoint | str) -> AddressVariables:
        """The variables of an address, for one more user, which must `release` them."""
        _expose_variables()
        with self._lock:
            address = str(endpoint)
            if address not in self._variables and len(self._variables) >= MAX_ADDRESSES:
                address = OVERFLOW
            variables = self._variables.get(address)
            if variables is None:
                variables = self._variables[address] = AddressVariables(address)
                default_sampler().add(self)
            variables.users += 1
            return variables

    def release(self, variables: AddressVariables) -> None:
        """End one use. The last one hides the variables."""
        with self._lock:
            variables.users -= 1
            if not variables.users and self._variables.get(variables.address) is variables:
                del self._variables[variables.address]
                variables.hide()

    def note_closed(self, user: Leaving) -> None:
        """Have `user` leave in the next second. Takes no lock."""
        self._closed.append(user)

    def take_sample(self, now_s: float) -> bool:
        """See `Sampled`: the users that were closed leave. False if no address is left."""
        for _ in range(len(self._closed)):
            self._closed.popleft().leave_if_closed()
        return bool(self._variables)

    def start_anew(self) -> None:
        """In a forked child: forget the addresses that the parent calls."""
        self._closed.clear()
        self._lock = threading.RLock()
        variables, self._variables = self._variables, {}
        for each in variables.values():
            each.hide()

    def __len__(self) -> int:
        return len(self._variables)


def _expose_variables() -> None:
    expose_socket_variables()
    expose_once(
        "rpc_channel_connection_count",
        lambda: NumberOf(_connection_count, help="Connections of channels"),
    )
    expose_once(
        "rpc_health_check_count",
        lambda: NumberOf(
            _down_count, help="Endpoints that are down, and dialled until they are up"
        ),
    )


def _connection_count() -> int:
    sources = default_runtime().connections.all()
    return len({connection for source in sources for connection in source.connections})


def _down_count() -> int:
    return sum(source.why_down is not None for source in default_runtime().connections.all())


ADDRESSES = Addresses()

# After `renew_in_child` has made the locks of all variables free, and emptied them.
os.register_at_fork(after_in_child=ADDRESSES.start_anew)
