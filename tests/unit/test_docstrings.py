"""Docstrings of the public names: each class, function, method and property has one, and it names
the parameters. Each field of a dataclass is in the docstring of the class, or has one below it.

A method that has the docstring of a base class, or of the interface that its class implements, is
described by that. A form for asyncio, or for Redis, is described by the form for threads too.
Methods of channels that are for the library alone need no more than a line.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import importlib
import inspect
import itertools
import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pytest

import pybrpc.redis.aio
import pybrpc.rtmp.aio
import pybrpc.server
from pybrpc import aio, lowlevel, rtmp, streams
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher

SOURCES = Path(__file__).parents[2] / "src"
PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
LISTED = {
    module: re.findall(r"`(\w+)`", names)
    for module, names in re.findall(r"^\| `(pybrpc[\w.]*)` \| (.+) \|$", PAGE.read_text(), re.M)
}
FORMS: dict[object, type] = {
    aio.Channel: pybrpc.Channel,
    aio.ParallelChannel: pybrpc.ParallelChannel,
    streams.AioStream: streams.Stream,
    streams.TypedStream: streams.Stream,
    streams.AioTypedStream: streams.TypedStream,
    rtmp.aio.RtmpClient: rtmp.RtmpClient,
    pybrpc.redis.aio.RedisChannel: pybrpc.redis.RedisChannel,
    lowlevel.RpcProtocolBase: lowlevel.RpcProtocol,
    lowlevel.ResponsePacker: lowlevel.RpcProtocol,
    lowlevel.AsyncioDispatcher: EventDispatcher,
    lowlevel.EpollDispatcher: EventDispatcher,
    StepDispatcher: EventDispatcher,
}
"""Classes that another one describes too."""
LIBRARY_ONLY = {"begin_call", "begin_client_span", "begin_server_span", "new_call", "open_nowait"}


def public_things() -> dict[str, Any]:
    """Every public class and function, by its full name, once."""
    found: dict[str, Any] = {}
    for module_name, names in LISTED.items():
        module = importlib.import_module(module_name)
        for name in names:
            thing = getattr(module, name)
            is_ours = str(getattr(thing, "__module__", "")).startswith("pybrpc")
            if is_ours and (inspect.isclass(thing) or inspect.isroutine(thing)):
                found.setdefault(f"{module_name}.{name}", thing)
    return found


THINGS = public_things()


def described_by(cls: type) -> list[type]:
    """The class, its bases, and those that describe it too."""
    classes = [base for base in cls.__mro__ if base.__module__.startswith("pybrpc")]
    others = [FORMS[base] for base in classes if base in FORMS]
    return [*classes, *(other for form in others for other in described_by(form))]


def members(cls: type) -> Iterator[tuple[str, Any]]:
    """Its public methods and properties that pybrpc defines, without the wrapping of classes."""
    classes = [base for base in cls.__mro__ if base.__module__.startswith("pybrpc")]
    for name in sorted({name for base in classes for name in vars(base) if name[0] != "_"}):
        member = inspect.getattr_static(cls, name)
        member = getattr(member, "__func__", member)
        if inspect.isroutine(member) or isinstance(member, property):
            yield name, member


def texts_of(cls: type, name: str) -> list[str]:
    """The docstrings that describe a member of a class."""
    found = [getattr(base, name, None) for base in described_by(cls)]
    return [text for member in found if member is not None and (text := inspect.getdoc(member))]


def parameters(function: Any) -> list[str]:
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        name
        for name, one in inspect.signature(function).parameters.items()
        if name[0] != "_" and name not in ("self", "cls") and one.kind not in kinds
    ]


def unnamed(function: Any, text: str) -> list[str]:
    """Parameters that `text` does not name; one alone needs no name."""
    names = parameters(function)
    missing = [name for name in names if not re.search(rf"\b{name}\b", text)]
    return missing if len(names) > 1 else []


@pytest.mark.parametrize("name", LISTED)
def test_public_module_has_a_docstring(name: str) -> None:
    assert importlib.import_module(name).__doc__


@pytest.mark.parametrize("name", THINGS)
def test_docstring_of_a_public_name_is_complete(name: str) -> None:
    thing = THINGS[name]
    text = thing.__doc__  # not that of a base class
    assert text, name
    first = text.partition("\n\n")[0].rstrip()
    assert first[-1] in ".:)`", f"{name} begins with no sentence: {first!r}"
    if thing is pybrpc.server.serve:  # its options are those of the class
        text += pybrpc.server.Supervisor.__init__.__doc__ or ""
    if not inspect.isclass(thing):
        assert unnamed(thing, text) == []


@pytest.mark.parametrize("name", [name for name in THINGS if inspect.isclass(THINGS[name])])
def test_members_of_a_public_class_have_complete_docstrings(name: str) -> None:
    cls = THINGS[name]
    if issubclass(cls, enum.Enum):
        return
    of_class = "\n".join(inspect.getdoc(base) or "" for base in described_by(cls))
    wrong: dict[str, list[str]] = {}
    for member_name, member in members(cls):
        texts = texts_of(cls, member_name)
        if not texts:
            wrong[member_name] = ["no docstring"]
        elif not isinstance(member, property) and member_name not in LIBRARY_ONLY:
            wrong[member_name] = unnamed(member, "\n".join([of_class, *texts]))
    assert {key: value for key, value in wrong.items() if value} == {}


def texts_of_fields(cls: type) -> set[str]:
    """The fields of a dataclass with a docstring below them. (inspect finds no source of a compiled
    class from 3.13 on.)"""
    path = SOURCES.joinpath(*cls.__module__.split("."))
    file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
    nodes = ast.parse(file.read_text(encoding="utf-8")).body
    (node,) = (one for one in nodes if isinstance(one, ast.ClassDef) and one.name == cls.__name__)
    return {
        field.target.id
        for field, text in itertools.pairwise(node.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


@pytest.mark.same_everywhere
@pytest.mark.parametrize("name", [name for name in THINGS if is_dataclass(THINGS[name])])
def test_fields_of_a_public_dataclass_are_described(name: str) -> None:
    classes = described_by(THINGS[name])
    text = "\n".join(f"{base.__doc__}{base.__init__.__doc__}" for base in classes)
    described = {field for base in classes for field in texts_of_fields(base)}
    fields = [field.name for field in dataclasses.fields(THINGS[name]) if field.name[0] != "_"]
    assert fields
    assert [
        field for field in fields if field not in described and not re.search(rf"\b{field}\b", text)
    ] == []
