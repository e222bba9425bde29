"""Faults that a FaultyProxy inflicts on a connection: small values, one for each fault.

Positions count the bytes of one direction of one connection: a fault at `after_bytes` lets exactly
that many through and then strikes; at 0 it strikes as soon as the connection to the server is
established.

    Stall, Slow, Delay                          pace: how fast bytes pass
    CutAt, ResetAt, HalfCloseAt, DropFrom       ends: after them nothing passes in that direction
    Refuse                                      instead of all of them

Of several ends in one direction the first one counts; paces add up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from pybrpc.base.guard import safe_repr


@dataclasses.dataclass(frozen=True, slots=True)
class Stall:
    """Nothing passes for `seconds`, `None`: until `FaultyProxy.resume`. Then all goes on."""

    after_bytes: int = 0
    """It strikes after so many bytes of its direction."""
    seconds: float | None = None

    def __post_init__(self) -> None:
        _check_position(self, self.after_bytes)
        if self.seconds is not None:
            _check_positive(self, "seconds", self.seconds)


@dataclasses.dataclass(frozen=True, slots=True)
class Slow:
    """At most `chunk_bytes` pass at a time, on average not more than `bytes_per_s`."""

    bytes_per_s: float
    chunk_bytes: int = 1

    def __post_init__(self) -> None:
        _check_positive(self, "bytes_per_s", self.bytes_per_s)
        _check_positive(self, "chunk_bytes", self.chunk_bytes)


@dataclasses.dataclass(frozen=True, slots=True)
class Delay:
    """Each byte, and the end of the stream, passes `latency_s` seconds after it arrived. Delayed
    bytes are kept in the proxy, whose buffer then limits the throughput.
    """

    latency_s: float

    def __post_init__(self) -> None:
        _check_positive(self, "latency_s", self.latency_s)


@dataclasses.dataclass(frozen=True, slots=True)
class CutAt:
    """Both sides see the connection end, cleanly (FIN). Bytes that they still send are thrown
    away."""

    after_bytes: int = 0
    """It strikes after so many bytes of its direction."""

    def __post_init__(self) -> None:
        _check_position(self, self.after_bytes)


@dataclasses.dataclass(frozen=True, slots=True)
class ResetAt:
    """Both sides see the connection reset (RST). On a Unix socket, which has none: closed."""

    after_bytes: int = 0
    """It strikes after so many bytes of its direction."""

    def __post_init__(self) -> None:
        _check_position(self, self.after_bytes)


@dataclasses.dataclass(frozen=True, slots=True)
class HalfCloseAt:
    """The receiving side sees the stream end (FIN). The other direction goes on."""

    after_bytes: int = 0
    """It strikes after so many bytes of its direction."""

    def __post_init__(self) -> None:
        _check_position(self, self.after_bytes)


@dataclasses.dataclass(frozen=True, slots=True)
class DropFrom:
    """A black hole: later bytes are read and thrown away. The end of the stream still passes."""

    after_bytes: int = 0
    """It strikes after so many bytes of its direction."""

    def __post_init__(self) -> None:
        _check_position(self, self.after_bytes)


@dataclasses.dataclass(frozen=True, slots=True)
class Refuse:
    """The connection is accepted and reset at once, or closed (`resets=False`).

    The server does not notice it. For a connect that fails: `FaultyProxy.stop_accepting`.
    """

    resets: bool = True


End = CutAt | ResetAt | HalfCloseAt | DropFrom
Fault = Stall | Slow | Delay | End


@dataclasses.dataclass(frozen=True, slots=True)
class Faults:
    """The faults of one connection, for each direction, or a refusal. None by default."""

    to_server: Sequence[Fault] = ()
    """Those of the bytes that the client sends."""
    to_client: Sequence[Fault] = ()
    """Those of the bytes that the server sends."""
    refuse: Refuse | None = None
    """How the client is refused a connection; `None`: it gets one."""

    def __post_init__(self) -> None:
        for name in ("to_server", "to_client"):
            given = getattr(self, name)
            if not isinstance(given, Iterable):
                raise TypeError(f"{name} takes a list of faults such as [CutAt(20)], not {given!r}")
            faults = tuple(given)
            for fault in faults:
                if not isinstance(fault, Fault):
                    raise TypeError(f"{name} takes faults such as CutAt(20), not {fault!r}")
            object.__setattr__(self, name, faults)
        if not isinstance(self.refuse, Refuse | None):
            raise TypeError(f"refuse takes a Refuse() or None, not {self.refuse!r}")


Plan = Callable[[int], Faults]
"""The faults of the n-th connection, counted from 0."""

NO_FAULTS = Faults()


def checked_faults(faults: Faults, what: str) -> Faults:
    """`faults`; TypeError for what is none. `what`: which argument or function gave it."""
    if not isinstance(faults, Faults):
        raise TypeError(f"{what} must be Faults(...), such as NO_FAULTS, not {safe_repr(faults)}")
    return faults


def checked_plan(plan: Faults | Plan) -> Faults | Plan:
    """`plan`; TypeError for what is none."""
    return plan if callable(plan) else checked_faults(plan, "the plan, which is no function,")


def _check_position(fault: object, after_bytes: int) -> None:
    if isinstance(after_bytes, bool) or not isinstance(after_bytes, int) or after_bytes < 0:
        name = type(fault).__name__
        raise ValueError(f"{name}: after_bytes must be a whole number >= 0, not {after_bytes!r}")


def _check_positive(fault: object, name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{type(fault).__name__}: {name} must be above 0, not {value!r}")
