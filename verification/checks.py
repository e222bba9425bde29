"""CHECKS: what holds, in which configurations; MUTANTS: what must be caught, and by what."""

from __future__ import annotations

from verification.check import Check, Search

FAILING = ("FAILS", "RESETS")
EVERYTHING = (*FAILING, "CANCELS", "REENTERS", "DELIVERS")

QUICK = (
    Check("two producers, the first one connects", 2, 2, FAILING),
    Check("three producers on a socket that stands", 3, 1, (*FAILING, "CONNECTED", "UNITS=1")),
    Check("every step by itself, and every option", 2, 1, (*EVERYTHING, "CONNECTED", "FINE")),
    Check("a peer that never answers is failed", 2, 1, (*FAILING, "SILENT")),
    Check("no endless run, connecting", 2, 1, FAILING, Search.PROGRESS),
    Check(
        "no endless run, re-entering", 2, 1, (*FAILING, "CONNECTED", "REENTERS"), Search.PROGRESS
    ),
    Check("fair runs tell everybody", 2, 1, ("FAILS", "CONNECTED"), Search.FAIRNESS),
)

FULL = (
    Check("three producers of two messages, no failure", 3, 2, ("REENTERS",)),
    Check("three producers of two messages, failed", 3, 2, ("FAILS", "CONNECTED", "UNITS=1")),
    Check("two producers of two messages, every option", 2, 2, EVERYTHING),
    Check("two producers of two messages, every step by itself", 2, 2, (*FAILING, "FINE")),
    Check("three producers, connecting", 3, 1, FAILING),
    Check("no endless run of three producers", 3, 1, FAILING, Search.PROGRESS),
    Check("fair runs tell everybody, connecting", 2, 1, (*FAILING, "REENTERS"), Search.FAIRNESS),
)


def _mutant(
    name: str,
    caught_by: str,
    *options: str,
    producers: int = 2,
    messages: int = 1,
    search: Search = Search.SAFETY,
) -> Check:
    return Check(name, producers, messages, (*options, f"BREAK_{name}"), search, caught_by)


_NOT_TOLD = "backlog==0"
_STUCK = "non-progress cycle"
_NEVER = "acceptance cycle"
_NOT_CLOSED = "!(token)||(fd=="
_STANDS = (*FAILING, "CONNECTED")

MUTANTS = (
    _mutant("LINK_FIRST", _NOT_TOLD, *_STANDS),
    _mutant("NO_LINK", _NEVER, search=Search.FAIRNESS),
    _mutant("NO_MARK", _NEVER, search=Search.FAIRNESS),
    _mutant("BLIND_RELEASE", _NOT_TOLD, *_STANDS),
    _mutant("LOOK_THEN_RELEASE", _NOT_CLOSED, *_STANDS),
    _mutant("NEWEST_FIRST", "state[i]!=1", producers=3),
    _mutant("CUT_WRITTEN", _NOT_CLOSED, *_STANDS),
    _mutant("CUT_DROPPED", "node<=", *_STANDS),
    _mutant("SPINS", _STUCK, search=Search.PROGRESS),
    _mutant("NO_COME_BACK", _NOT_TOLD, *_STANDS),
    _mutant("NO_CONTINUE", "owner==0", *_STANDS),
    _mutant("KEPT_AFTER_POST", "owner==", *_STANDS, messages=2),
    _mutant("NO_SECOND_LOOK", _NOT_TOLD, *FAILING, "SILENT"),
    _mutant("NOT_HELPED", "fd==", "FAILS", producers=1),
    _mutant("CLOSE_AT_ONCE", "fd", *_STANDS),
    _mutant("SENT_AGAIN", "on_wire==0", *_STANDS),
    _mutant("CANCEL_BEGUN", "on_wire", "CONNECTED", "CANCELS"),
    _mutant("NOT_NOTED", "sent[i]", *_STANDS),
    _mutant("TOLD_TWICE", "state[i]==1", *_STANDS),
    _mutant("TOLD_HOLDING", "owner!=", *_STANDS, "DELIVERS"),
    _mutant("COUNT_TWICE", "backlog>=0", *_STANDS),
    _mutant("COUNT_LATE", "backlog>=0", *_STANDS),
)
