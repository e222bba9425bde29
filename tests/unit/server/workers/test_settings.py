"""SupervisorSettings: which options of a Supervisor make sense."""

from __future__ import annotations

import re
from inspect import cleandoc
from pathlib import Path
from typing import Any

import pytest

from pybrpc.errors import MissingExtraError
from pybrpc.server import Supervisor
from pybrpc.server.workers.settings import SupervisorOptions, SupervisorSettings


def make(target: str = "app:make", **options: Any) -> SupervisorSettings:
    return SupervisorSettings.of(target, options)  # type: ignore[arg-type]


def test_settings_without_options_have_the_defaults() -> None:
    assert make() == SupervisorSettings("app:make", 1, 5.0, 60.0, "asyncio", "")


def test_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'worker'"):
        make(worker=2)


def test_help_of_a_supervisor_describes_each_option() -> None:
    described = set(re.findall(r"^(\w+) ", cleandoc(SupervisorOptions.__doc__ or ""), re.MULTILINE))
    assert described == SupervisorOptions.__annotations__.keys()
    assert Supervisor.__init__.__doc__ == SupervisorOptions.__doc__


@pytest.mark.parametrize("grace", [0, None])
@pytest.mark.parametrize(("loop", "log_level"), [("asyncio", "debug"), ("uvloop", "")])
def test_allowed_values_are_accepted(grace: float | None, loop: str, log_level: str) -> None:
    made = make(grace=grace, start_timeout=1.0, loop=loop, log_level=log_level)
    assert (made.grace_s, made.start_timeout_s) == (grace, 1.0)
    assert (made.loop, made.log_level) == (loop, log_level)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("target", "app", "name the function that makes the server"),
        ("target", "__main__:make", "can't be imported by another process"),
        ("workers", 0, "workers must be a whole number >= 1, not 0"),
        ("workers", True, "workers must be a whole number >= 1, not True"),
        ("workers", 1.0, "workers must be a whole number >= 1, not 1.0"),
        ("grace", -1, "grace"),
        ("start_timeout", -0.1, "start_timeout"),
        ("stall_timeout", -1, "stall_timeout"),
        ("drain_delay", -1, "drain_delay"),
        ("drain_delay", float("inf"), "drain_delay must be a finite number"),
        ("pin", [], "pin must name one core at least"),
        ("internal_port", -1, "internal_port must be"),
        ("internal_port", 65536, "internal_port must be"),
        ("internal_port", "8001", "internal_port must be"),
        ("internal_port", True, "internal_port must be"),
        ("directory", "/no/such", "directory must be the path of one, not '/no/such'"),
        ("loop", "trio", "loop must be one of asyncio, uvloop, not 'trio'"),
        ("log_level", "loud", "log_level must be one of debug, info, warning, error, not 'loud'"),
    ],
)
def test_other_values_are_refused(field: str, value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make(**{field: value})


def test_limits_of_time_may_be_none_or_infinite() -> None:
    for value in (None, float("inf")):
        made = make(grace=value, start_timeout=value, stall_timeout=value)
        assert (made.grace_s, made.start_timeout_s, made.stall_timeout_s) == (None, None, None)


def test_directory_may_be_a_path_object(tmp_path: Path) -> None:
    assert make(directory=tmp_path).directory == str(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("keep_memory", 1, "keep_memory must be True or False"),
        ("pin", "0-3", "pin must be the number of a core, or several"),
    ],
)
def test_values_of_other_types_are_refused(field: str, value: object, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        make(**{field: value})


def test_loop_whose_package_is_missing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pybrpc\[uvloop\]"):
        make(loop="uvloop")
