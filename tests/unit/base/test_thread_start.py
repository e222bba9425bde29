"""Starting threads: those of a process that ends would never run."""

from __future__ import annotations

import sys
import threading

import pytest

from pybrpc.base.thread_start import start_thread


def test_thread_runs() -> None:
    ran = threading.Event()
    thread = threading.Thread(target=ran.set)
    start_thread(thread)
    thread.join()
    assert ran.is_set()


def test_no_thread_is_started_while_python_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    thread = threading.Thread(target=print)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "is_finalizing", lambda: True)
        with pytest.raises(RuntimeError, match="while Python ends"):
            start_thread(thread)
    assert thread.ident is None
