"""Pick: the server that was picked for one attempt of a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pybrpc.client.cluster.cluster_server import ClusterServer

if TYPE_CHECKING:
    from pybrpc.client.calls.attempt_end import CanceledBy
    from pybrpc.client.cluster.balancing.load_balancer import Picker


class PickOwner(Protocol):
    """The Router, as its picks see it."""

    def end(self, pick: Pick, code: int, canceled_by: CanceledBy | None) -> None:
        """The attempt of `pick` has ended. Once for each; never raises."""

    def note_unused(self, server: ClusterServer) -> None:
        """The last attempt of a server has ended that has left the list."""


class Pick:
    """Ends exactly once: with the attempt, or when none is made."""

    __slots__ = (
        "_open",
        "_router",
        "backup_pick",
        "begun_at",
        "limit_s",
        "picker",
        "server",
        "tried",
    )

    def __init__(
        self,
        router: PickOwner,
        picker: Picker,
        server: ClusterServer,
        begun_at: float,
        limit_s: float,
        tried: tuple[ClusterServer, ...],
    ) -> None:
        self._router = router
        self._open: list[None] = [None]
        self.picker = picker
        self.server = server
        self.begun_at = begun_at
        """Monotonic seconds."""
        self.limit_s = limit_s
        """Seconds that the call had left then."""
        self.tried = tried
        """The servers of the call's earlier attempts."""
        self.backup_pick: Pick | None = None
        """That of the backup request of the same call."""

    @property
    def tried_so_far(self) -> tuple[ClusterServer, ...]:
        """The servers of all attempts of the call so far."""
        backup = () if self.backup_pick is None else (self.backup_pick.server,)
        return (*self.tried, self.server, *backup)

    def end(self, code: int, canceled_by: CanceledBy | None) -> None:
        """The attempt has ended. Only the first call counts. Any thread; never raises."""
        try:
            self._open.pop()
        except IndexError:
            return
        is_unused = self.server.end()
        try:
            self._router.end(self, code, canceled_by)
        finally:
            if is_unused:
                self._router.note_unused(self.server)

    def __repr__(self) -> str:
        return f"<Pick of {self.server.node}>"
