"""The public names: each exists, has a docstring, and is listed in docs/compatibility.md."""

from __future__ import annotations

import dataclasses
import importlib
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any, get_origin

import pytest

import pybrpc
import pybrpc.redis.aio
from pybrpc import (
    aio,
    errors,
    iobuf,
    lowlevel,
    metrics,
    naming,
    streams,
    testing,
    tracing,
    tune,
)
from tests.peers.streaming import MIXED

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PUBLIC = [pybrpc, aio, iobuf, lowlevel, metrics, naming, streams, testing, tracing, tune]
LISTED: dict[str, list[str]] = {
    module: re.findall(r"`(\w+)`", names)
    for module, names in re.findall(
        r"^\| `(pybrpc[\w.]*)` \| (.+) \|$",
        (DOCS / "compatibility.md").read_text(),
        re.MULTILINE,
    )
}
"""Module: the names that the page says are public there."""


@pytest.mark.parametrize("module", PUBLIC, ids=lambda module: module.__name__)
def test_every_public_name_is_there_and_documented(module: ModuleType) -> None:
    for name in module.__all__:
        thing = getattr(module, name)
        if get_origin(thing) is None:  # an alias of types has no docstring
            assert getattr(thing, "__doc__", None), f"{module.__name__}.{name}"


def test_every_error_is_one_of_pybrpc() -> None:
    raised = [thing for thing in vars(errors).values() if isinstance(thing, type)]
    for error in raised:
        if issubclass(error, Exception):
            assert issubclass(error, errors.PyBrpcError), error


def test_version_is_told() -> None:
    assert pybrpc.__version__.count(".") == 2


@pytest.mark.parametrize("module_name", LISTED)
def test_compatibility_page_lists_the_names_of_a_public_module(module_name: str) -> None:
    module = importlib.import_module(module_name)
    listed = LISTED[module_name]
    assert all(hasattr(module, name) for name in listed), module_name
    assert len(set(listed)) == len(listed)
    exported = getattr(module, "__all__", None)
    if exported is not None:
        assert set(listed) == set(exported)


def test_type_checkers_see_every_public_name() -> None:
    text = (ROOT / "tests" / "typing" / "names.py").read_text()
    seen = re.findall(r"^    ([\w.]+)\.(\w+),$", text, re.MULTILINE)
    assert seen == [(module, name) for module, names in LISTED.items() for name in names]


@pytest.mark.parametrize("module_name", LISTED)
def test_dir_of_a_public_module_shows_public_names_only(module_name: str) -> None:
    assert set(dir(importlib.import_module(module_name))) == set(LISTED[module_name])


OF_A_CHANNEL = {
    *("address", "close", "endpoint", "endpoint_statistics", "is_closed", "servers", "statistics"),
    *("timeout_s", "wait_ready"),
}
OF_A_LOOP = OF_A_CHANNEL | {"share_with_threads"}


@pytest.mark.parametrize(
    ("make", "added"),
    [
        (pybrpc.Channel, OF_A_CHANNEL | {"http", "raw_method"}),
        (aio.Channel, OF_A_LOOP | {"http", "raw_method"}),
        (pybrpc.redis.RedisChannel, OF_A_CHANNEL | {"call", "execute", "future", "with_callback"}),
        (pybrpc.redis.aio.RedisChannel, OF_A_LOOP | {"call", "execute"}),
    ],
)
def test_dir_of_a_channel_shows_what_is_for_users(make: Any, added: set[str]) -> None:
    assert {name for name in dir(make("127.0.0.1:1")) if not name.startswith("_")} == added


@pytest.mark.parametrize(
    "options",
    [
        pybrpc.SocketOptions(),
        pybrpc.RetryPolicy(),
        pybrpc.ClientTls(),
        pybrpc.ServerTls("cert.pem", "key.pem"),
        pybrpc.HealthCheck(MIXED.methods_by_name["Echo"]),
    ],
    ids=lambda options: type(options).__name__,
)
def test_dir_of_options_shows_the_options(options: Any) -> None:
    shown = {name for name in dir(options) if not name.startswith("_")}
    assert shown == {one.name for one in dataclasses.fields(options) if one.name[0] != "_"}


def test_compatibility_page_lists_every_public_module() -> None:
    for name in (
        "",
        ".aio",
        ".errors",
        ".lowlevel",
        ".metrics",
        ".naming",
        ".redis",
        ".redis.aio",
        ".server",
        ".streams",
        ".testing",
        ".testing.aio",
        ".tracing",
        ".tracing.opentelemetry",
    ):
        assert f"pybrpc{name}" in LISTED
    assert any(name.startswith("pybrpc.testing.") for name in LISTED)


def test_compatibility_page_lists_every_class_of_errors() -> None:
    classes = {
        name
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and thing.__module__ == errors.__name__
    }
    assert classes <= set(LISTED["pybrpc.errors"])


def test_version_is_that_of_the_project_and_the_newest_release_of_the_changelog() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == pybrpc.__version__
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    releases = [re.fullmatch(r"(\d+\.\d+\.\d+) \(\d{4}-\d\d-\d\d\)", one) for one in headings[1:]]
    assert headings[0] == "Unreleased"
    assert releases[0] is not None
    assert all(releases)
    assert releases[0][1] == pybrpc.__version__
