"""What a Supervisor may be made with."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.server.workers.settings import SupervisorSettings

SOUND = SupervisorSettings("app:make", 2, 5.0, 60.0, "asyncio", "")


@pytest.mark.parametrize("grace_s", [0, None])
@pytest.mark.parametrize(("loop", "log_level"), [("asyncio", "debug"), ("uvloop", "")])
def test_what_makes_sense(grace_s: float | None, loop: str, log_level: str) -> None:
    made = SupervisorSettings("app:make", 1, grace_s, 1.0, loop, log_level)
    assert (made.grace_s, made.loop, made.log_level) == (grace_s, loop, log_level)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("target", "app", "say what makes the server"),
        ("target", "__main__:make", "can't be imported by another process"),
        ("workers", 0, "workers must be a number from 1, not 0"),
        ("workers", True, "workers must be a number from 1, not True"),
        ("workers", 1.0, "workers must be a number from 1, not 1.0"),
        ("grace_s", -1, "grace"),
        ("start_timeout_s", -0.1, "start_timeout"),
        ("loop", "trio", "loop must be one of asyncio, uvloop, not 'trio'"),
        ("log_level", "loud", "log_level must be one of debug, info, warning, error, not 'loud'"),
    ],
)
def test_what_makes_none(field: str, value: Any, said: str) -> None:
    values = {name: getattr(SOUND, name) for name in SOUND.__slots__}
    with pytest.raises(ValueError, match=said):
        SupervisorSettings(**{**values, field: value})
