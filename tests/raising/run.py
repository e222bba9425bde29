"""Rounds in a process of their own."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
from typing import Any

from tests.cases.child import run_in_child
from tests.raising.round import run_round
from tests.raising.site import PATIENT_S, Site

Round = tuple[str, list[str]]
"""The name of a hook, and the kinds that are raised there."""

ROUND_S = 10.0
"""More than a round takes on a busy machine."""

_LOGGERS = ("asyncio", "concurrent.futures")


def complaints_of(rounds: list[Round]) -> list[str]:
    """Lines of `run_round`, with their hooks. A new process follows a round that has any."""
    complaints: list[str] = []
    while rounds:
        found = run_in_child(_run_rounds, rounds, limit_s=PATIENT_S + len(rounds) * ROUND_S)
        hook, kinds = rounds[len(found) - 1]
        for complaint in found[-1]:
            complaints.append(f"{hook}, {kinds[0] if len(kinds) == 1 else 'all'}: {complaint}")
        rounds = rounds[len(found) :]
    return complaints


def _run_rounds(rounds: list[Round]) -> None:
    """The child prints the complaints of each round, up to the first round that has any.

    Rounds run in another thread, so that signals can strike the main thread. That may hang then;
    so the other thread ends the process.
    """
    _be_quiet()
    site = Site()
    threading.Thread(target=_run_all, args=(site, rounds), daemon=True).start()
    while True:
        with contextlib.suppress(BaseException):
            site.main_jobs.get()()


def _run_all(site: Site, rounds: list[Round]) -> None:
    found: list[list[str]] = []
    for hook, kinds in rounds:
        try:
            found.append(run_round(site, hook, kinds))
        except BaseException as error:
            found.append([f"the round itself: {type(error).__name__} {error}"])
        if found[-1]:
            break
    print(json.dumps(found), flush=True)
    os._exit(0)


def _be_quiet() -> None:
    """Log, but where nobody sees it."""
    logging.disable(logging.NOTSET)
    logger = logging.getLogger("pybrpc")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
    for name in _LOGGERS:
        logging.getLogger(name).disabled = True
    sys.unraisablehook = _ignore
    sys.stderr = sys.__stderr__


def _ignore(_: Any) -> None:
    """Exceptions of destructors are of no interest."""
