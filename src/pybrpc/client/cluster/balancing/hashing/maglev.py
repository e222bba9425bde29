"""maglev: hash keys over a table in which servers have places in proportion to their weights.

Each server has an order of all places of its own, made of a hash of its address. In turn each takes
its next place that is free, until the table is full (Eisenbud et al., Maglev, NSDI 2016; weights as
in Envoy). The places are more even than a ring of points, and a pick costs one division. When a
server goes, its keys are spread evenly over the others; of the rest less than 1 % moves.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Sequence

from pybrpc.base.pacing import paced, pause
from pybrpc.client.cluster.balancing.base_picker import BasePicker
from pybrpc.client.cluster.cluster_server import ClusterServer
from pybrpc.rpc.hash_key import mixed

DEFAULT_TABLE_SIZE = 65537
PLACES_PER_PAUSE = 4096


class Maglev:
    """The balancer "maglev". Calls need a hash key."""

    name = "maglev"
    needs_hash_key = True

    def __init__(self, table_size: int = DEFAULT_TABLE_SIZE) -> None:
        """`table_size`: a prime number; for even shares, 100 times the number of servers."""
        self._table_size = table_size

    def new_picker(self, servers: Sequence[ClusterServer]) -> MaglevPicker:
        """See `LoadBalancer`. Takes about 0.1 s for a table of 65537 places."""
        texts = [str(server.node) for server in servers]
        weights = [server.full_weight for server in servers]
        return MaglevPicker(servers, maglev_table(texts, weights, self._table_size))


def maglev_table(
    texts: Sequence[str],
    weights: Sequence[float],
    size: int,
    pause: Callable[[], object] = pause,
) -> array[int]:
    """For each place the index of its server. The order of `texts` does not matter; without any,
    the table is empty. `size` is prime."""
    if not texts:
        return array("i")
    table = array("i", [-1]) * size
    in_order = sorted(range(len(texts)), key=texts.__getitem__)
    orders = [_places(text, size) for text in paced(texts, pause=pause)]
    most = max(weights)
    shares = [weight / most for weight in weights]
    due = [0.0] * len(texts)
    filled = 0
    while True:
        for index in in_order:
            due[index] += shares[index]
            if due[index] < 1.0:
                continue
            due[index] -= 1.0
            place, skip = orders[index]
            while table[place] >= 0:
                place = (place + skip) % size
            table[place] = index
            orders[index] = (place + skip) % size, skip
            filled += 1
            if filled == size:
                return table
            if filled % PLACES_PER_PAUSE == 0:
                pause()


def _places(text: str, size: int) -> tuple[int, int]:
    """The first place of a server, and the distance from one to the next."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    offset = int.from_bytes(digest[:8], "little") % size
    return offset, int.from_bytes(digest[8:], "little") % (size - 1) + 1


class MaglevPicker(BasePicker):
    """The Picker of "maglev". For a server that can't be used, the places after it are asked, whose
    servers are as good as random."""

    __slots__ = ("_table",)

    def __init__(self, servers: Sequence[ClusterServer], table: array[int]) -> None:
        BasePicker.__init__(self, servers)
        self._table = table

    def pick(
        self, tried: tuple[ClusterServer, ...], hash_key: int | None, now: float
    ) -> ClusterServer | None:
        """See `Picker`."""
        if hash_key is None:
            raise ValueError("a call through a balancer by hash needs a hash_key")
        servers, table = self.servers, self._table
        size = len(table)
        place = mixed(hash_key) % size if size else 0
        for step in range(size):
            server = servers[table[(place + step) % size]]
            if server.is_usable and not (tried and server in tried):
                return server
            if step == len(servers) and not self.candidates(tried):
                break
        return self.last_resort(tried)
