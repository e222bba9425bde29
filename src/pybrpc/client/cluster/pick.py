"""Pick: the server that was picked for one attempt of a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pybrpc.client.cluster.cluster_server import ClusterServer

if TYPE_CHECKING:
    from pybrpc.client.calls.attempt_end import CanceledBy
    from pybrpc.client.cluster.balancing.base_picker import BasePicker


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

    _open: list[None]
    _router: PickOwner
    backup_pick: Pick | None
    """That of the backup request of the same call."""
    begun_at: float
    """Monotonic seconds."""
    limit_s: float
    """Seconds that the call had left then."""
    picker: BasePicker
    server: ClusterServer
    tried: tuple[ClusterServer, ...]
    """The servers of the call's earlier attempts."""

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


def new_pick(
    router: PickOwner,
    picker: BasePicker,
    server: ClusterServer,
    begun_at: float,
    limit_s: float,
    tried: tuple[ClusterServer, ...],
) -> Pick:
    """Make a Pick. A typed function costs a compiled caller less than a constructor."""
    pick = Pick.__new__(Pick)
    pick._router = router
    pick._open = [None]
    pick.picker = picker
    pick.server = server
    pick.begun_at = begun_at
    pick.limit_s = limit_s
    pick.tried = tried
    pick.backup_pick = None
    return pick
