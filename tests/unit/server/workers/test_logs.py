"""Logging of `pybrpc serve`, which leaves alone what an application has set up."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator

import pytest

from pybrpc.server.workers.settings import set_up_logging


@contextlib.contextmanager
def bare_root() -> Iterator[logging.Logger]:
    """As in a process where nobody has set logging up."""
    root = logging.root
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        yield root
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def test_each_line_has_its_process(capsys: pytest.CaptureFixture[str]) -> None:
    with bare_root():
        set_up_logging("info")
        logging.getLogger("app").info("hello")
        logging.getLogger("app").debug("too much")
    assert capsys.readouterr().err.endswith(f" [{os.getpid()}] INFO app: hello\n")


def test_no_level_sets_nothing_up() -> None:
    with bare_root() as root:
        set_up_logging("")
        assert root.handlers == []


def test_what_is_set_up_stays() -> None:
    with bare_root() as root:
        root.addHandler(mine := logging.NullHandler())
        set_up_logging("debug")
        assert root.handlers == [mine]
