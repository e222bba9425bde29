"""Registrar: puts one server into one naming service, and keeps it there."""

from __future__ import annotations

from typing import Protocol

UNREGISTERED_AFTER = 3
"""Renewals that fail in a row, after which the server is registered anew, as in bRPC."""


class Registrar(Protocol):
    """The entry of one server. One thread calls it, but for `interrupt`. Its methods block for as
    long as a request takes, and may raise anything."""

    interval_s: float
    """Seconds between two renewals."""

    def register(self) -> None:
        """Make the entry, or replace it."""

    def renew(self) -> bool:
        """Keep the entry for some time more; False if it is not there any more."""

    def deregister(self) -> None:
        """Remove the entry. One that is not there is no error."""

    def interrupt(self) -> None:
        """The request that runs, or the next one, is to end soon. Any thread; does not block."""

    def close(self) -> None:
        """Close connections. Nothing is called after this."""
