"""WriteQueue: the queue of many producers, which needs one atomic exchange per request.

The head is `None` when no thread has the write right. A producer exchanges the head for its
request. The value that it gets back decides:

    None        it has the right: it writes, or leaves a continuation that will
    an older r  another thread has the right and will find the request: it sets request.next = r

Requests thus form a list from the newest to the oldest. The holder of the right takes the whole
list by exchanging the head for `BUSY`, which means that the right is taken and nothing is queued,
and reverses the list. It gives the right back by replacing what it last left in the head with
`None`, which fails if anything was pushed since.

Between a producer's exchange and its link, `next` is `UNCONNECTED` and the list is cut there. All
older requests lie behind the cut, so nothing of the new part can be written in order: `take`
returns `None`, and the holder tries again in its next step, from the cut on. It never spins: with a
GIL it could spin for the 5 ms of a switch interval, or for ever if a signal handler or destructor
has suspended the producer below it on the same stack.

A walk of very many requests is made in parts, too, so that others are served meanwhile. It unlinks
each request that it passes. So a request that was taken keeps no other one alive, and a million of
them are freed one by one, not by recursion. A queue that is dropped unlinks those that were never
taken, too. (CPython's own limit to the depth of such a recursion is made for stacks of 8 MiB.)

bRPC's queue keeps the newest request that the holder knows in the head and compares with it. A
marker needs no load of a head that others replace, and keeps no finished request alive.

No method blocks, makes a system call or runs user code.
"""

from __future__ import annotations

from pybrpc.base.atomic import AtomicRef, atomic_ref
from pybrpc.transport.writing.write_request import BUSY, UNCONNECTED, WriteRequest

MAX_REQUESTS_PER_WALK = 16 * 1024


class WriteQueue:
    """Multi-producer queue of WriteRequests with one holder of the write right at a time."""

    __slots__ = ("_cut_off", "_head", "_mark", "_walked", "is_cut")

    def __init__(self) -> None:
        self._head: AtomicRef[WriteRequest | None] = atomic_ref(None)
        # All below belongs to the holder of the right.
        self._mark: WriteRequest = BUSY
        self._cut_off: WriteRequest | None = None
        self._walked: list[WriteRequest] = []
        self.is_cut = False
        """Whether the last `take` waits for a producer that is between its exchange and its link;
        else it stopped because the list is so long."""

    def push(self, request: WriteRequest) -> bool:
        """Queue a request, from any thread. True: the caller now has the write right.

        With the right, the request itself is not in the list that `take` gives.
        """
        older = self._head.get_and_set(request)
        if older is None:
            request.next = None
            self._mark = request
            return True
        request.next = older
        return False

    def take(self) -> list[WriteRequest] | None:
        """All requests pushed since, oldest first. `None` if the list is cut, or so long that
        another call must go on. Holder only."""
        node = self._cut_off
        if node is None:
            node = self._head.get_and_set(BUSY)
        assert node is not None
        mark = self._mark
        walked = self._walked
        left = MAX_REQUESTS_PER_WALK
        while node is not mark:
            older = node.next
            if older is UNCONNECTED or older is None or not left:
                self._cut_off = node
                self.is_cut = left > 0
                return None
            node.next = None
            walked.append(node)
            node = older
            left -= 1
        self._cut_off = None
        self._walked = []
        self._mark = BUSY
        walked.reverse()
        return walked

    def release(self) -> bool:
        """Give the right back. False if something was pushed: the caller keeps it. Holder only."""
        return self._cut_off is None and self._head.compare_and_set(self._mark, None)

    def __del__(self) -> None:
        # A signal handler may have raised in the constructor: then there are no fields.
        head = getattr(self, "_head", None)
        if head is None:
            return
        node: WriteRequest | None
        for node in (getattr(self, "_cut_off", None), head.get()):
            while node is not None and node is not BUSY and node is not UNCONNECTED:
                older = node.next
                node.next = None
                node = older

    def __repr__(self) -> str:
        return f"<WriteQueue {'cut off' if self._cut_off is not None else 'whole'}>"
