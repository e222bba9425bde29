"""check_monkey_patches, with modules that stand for gevent and eventlet."""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Callable

import pytest

from pybrpc.base.monkey_patches import check_monkey_patches
from pybrpc.errors import MonkeyPatchError

ASKS = {"gevent.monkey": "is_module_patched", "eventlet.patcher": "is_monkey_patched"}


def load(monkeypatch: pytest.MonkeyPatch, library: str, is_patched: Callable[[str], bool]) -> None:
    module = types.SimpleNamespace(**{ASKS[library]: is_patched})
    monkeypatch.setitem(sys.modules, library, module)  # type: ignore[arg-type]


def test_python_as_it_is_passes() -> None:
    check_monkey_patches()


@pytest.mark.parametrize("library", ASKS)
@pytest.mark.parametrize(
    ("patched", "passes"),
    [
        ((), True),
        (("select", "threading"), True),
        (("select", "thread"), True),
        (("socket", "threading"), True),
        (("select",), False),
        (("select", "socket", "time"), False),
    ],
)
def test_select_without_threads_is_refused(
    monkeypatch: pytest.MonkeyPatch, library: str, patched: tuple[str, ...], passes: bool
) -> None:
    load(monkeypatch, library, lambda name: name in patched)
    if passes:
        check_monkey_patches()
        return
    with pytest.raises(MonkeyPatchError, match=f"{library.partition('.')[0]} has replaced select"):
        check_monkey_patches()


def test_threads_that_were_replaced_after_the_import_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(threading, "get_ident", lambda: 1)
        with pytest.raises(MonkeyPatchError, match="after pybrpc was imported"):
            check_monkey_patches()
    check_monkey_patches()
