"""Logging of `pybrpc serve`, which leaves alone what an application has set up."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator

import pytest

from pybrpc.server.workers.settings import log_until_set_up, set_up_logging


@contextlib.contextmanager
def bare_root() -> Iterator[logging.Logger]:
    """The root logger without handlers, as in a process without logging."""
    root = logging.root
    handlers, level, last_resort = root.handlers[:], root.level, logging.lastResort
    root.handlers.clear()
    try:
        yield root
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.lastResort = last_resort


def test_log_line_has_the_process_id(capsys: pytest.CaptureFixture[str]) -> None:
    with bare_root():
        set_up_logging("info")
        logging.getLogger("app").info("hello")
        logging.getLogger("app").debug("too much")
    assert capsys.readouterr().err.endswith(f" [{os.getpid()}] INFO app: hello\n")


def test_empty_level_sets_nothing_up() -> None:
    with bare_root() as root:
        set_up_logging("")
        assert root.handlers == []


def test_logging_that_is_set_up_is_kept() -> None:
    with bare_root() as root:
        root.addHandler(mine := logging.NullHandler())
        set_up_logging("debug")
        assert root.handlers == [mine]


def test_worker_logs_until_the_application_sets_up_logging(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with bare_root():
        log_until_set_up("info")
        logging.getLogger("app").info("before")
        logging.basicConfig(format="mine: %(message)s")
        logging.getLogger("app").info("after")
    before, after = capsys.readouterr().err.splitlines()
    assert before.endswith(f" [{os.getpid()}] INFO app: before")
    assert after == "mine: after"


def test_worker_without_a_level_or_with_a_handler_sets_nothing_up() -> None:
    with bare_root() as root:
        last_resort = logging.lastResort
        log_until_set_up("")
        root.addHandler(logging.NullHandler())
        log_until_set_up("debug")
        assert logging.lastResort is last_resort
