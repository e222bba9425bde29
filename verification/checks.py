"""CHECKS: what holds, in which configurations; MUTANTS: what must be caught, and by what."""

from __future__ import annotations

from verification.check import Check, Search

FAILING = ("FAILS", "RESETS")
EVERY_EVENT = ("FAILS", "SWEEPS", "RETIRES")
EVERYTHING = (*FAILING, "CANCELS", "REENTERS", "DELIVERS")

QUICK = (
    Check("two producers, the first one connects", 2, 2, FAILING),
    Check("three producers on a connected socket", 3, 1, (*FAILING, "CONNECTED", "UNITS=1")),
    Check("every step by itself, and every option", 2, 1, (*EVERYTHING, "CONNECTED", "FINE")),
    Check("a peer that never answers is failed", 2, 1, (*FAILING, "SILENT")),
    Check("no endless run, connecting", 2, 1, FAILING, Search.PROGRESS),
    Check(
        "no endless run, re-entering", 2, 1, (*FAILING, "CONNECTED", "REENTERS"), Search.PROGRESS
    ),
    Check("fair runs notify every owner", 2, 1, ("FAILS", "CONNECTED"), Search.FAIRNESS),
)

HOLDS = (
    Check("two users, a failure, the idle sweep", 2, 1, ("FAILS", "SWEEPS"), model="holds"),
    Check("two users, a failure, a retirement", 2, 1, ("FAILS", "RETIRES"), model="holds"),
    Check("a hold that two threads release", 2, 1, ("RETIRES", "SECOND"), model="holds"),
    Check("one user after another hold", 1, 2, ("FAILS", "SWEEPS", "RETIRES"), model="holds"),
)

FULL = (
    Check("two users, all at once", 2, 1, (*EVERY_EVENT, "SECOND"), model="holds"),
    Check("two users hold again, all at once", 2, 2, EVERY_EVENT, model="holds"),
    Check("three producers of two messages, no failure", 3, 2, ("REENTERS",)),
    Check("three producers of two messages, failed", 3, 2, ("FAILS", "CONNECTED", "UNITS=1")),
    Check("two producers of two messages, every option", 2, 2, EVERYTHING),
    Check("two producers of two messages, every step by itself", 2, 2, (*FAILING, "FINE")),
    Check("three producers, connecting", 3, 1, FAILING),
    Check("no endless run of three producers", 3, 1, FAILING, Search.PROGRESS),
    Check(
        "fair runs notify every owner, connecting", 2, 1, (*FAILING, "REENTERS"), Search.FAIRNESS
    ),
)


def _mutant(
    name: str,
    caught_by: str,
    *options: str,
    producers: int = 2,
    messages: int = 1,
    search: Search = Search.SAFETY,
    model: str = "write_path",
) -> Check:
    broken = (*options, f"BREAK_{name}")
    return Check(name, producers, messages, broken, search, caught_by, model)


def _mutant_of_holds(name: str, caught_by: str, *options: str, holds: int = 1) -> Check:
    return _mutant(name, caught_by, *options, producers=1, messages=holds, model="holds")


_NOT_ENDED = "backlog==0"
_STUCK = "non-progress cycle"
_NEVER = "acceptance cycle"
_NOT_CLOSED = "!(token)||(fd=="
_NOT_BALANCED = "ended==begun"
_WAITS = "invalid end state"
_ESTABLISHED = (*FAILING, "CONNECTED")

MUTANTS = (
    _mutant("LINK_FIRST", _NOT_ENDED, *_ESTABLISHED),
    _mutant("NO_LINK", _NEVER, search=Search.FAIRNESS),
    _mutant("NO_MARK", "node<=", *_ESTABLISHED),
    _mutant("BLIND_RELEASE", _NOT_ENDED, *_ESTABLISHED),
    _mutant("LOOK_THEN_RELEASE", _NOT_CLOSED, *_ESTABLISHED),
    _mutant("NEWEST_FIRST", "state[i]!=1", producers=3),
    _mutant("CUT_WRITTEN", _NOT_ENDED, *_ESTABLISHED),
    _mutant("CUT_DROPPED", "node<=", *_ESTABLISHED),
    _mutant("SPINS", _STUCK, search=Search.PROGRESS),
    _mutant("NO_RETRY", _NOT_ENDED, *_ESTABLISHED),
    _mutant("NO_CONTINUE", _NOT_ENDED, *_ESTABLISHED),
    _mutant("KEPT_AFTER_POST", "owner==", *_ESTABLISHED, messages=2),
    _mutant("NO_SECOND_LOOK", _NOT_ENDED, *FAILING, "SILENT"),
    _mutant("NOT_HELPED", "fd==", "FAILS", producers=1),
    _mutant("CLOSE_AT_ONCE", "fd", *_ESTABLISHED),
    _mutant("SENT_AGAIN", "on_wire==0", *_ESTABLISHED),
    _mutant("CANCEL_BEGUN", "on_wire", "CONNECTED", "CANCELS"),
    _mutant("NOT_NOTED", "sent[i]", *_ESTABLISHED),
    _mutant("ENDED_TWICE", "state[i]==1", *_ESTABLISHED),
    _mutant("ENDED_HOLDING", "owner!=", *_ESTABLISHED, "DELIVERS"),
    _mutant("TOLD_AT_ONCE", "told", *_ESTABLISHED),
    _mutant("DRAINED_BY_PRODUCER", "==4", *_ESTABLISHED),
    _mutant("REST_FORGOTTEN", _NOT_ENDED, *_ESTABLISHED),
    _mutant("COUNT_TWICE", "backlog>=0", *_ESTABLISHED),
    _mutant("COUNT_LATE", "backlog>=0", *_ESTABLISHED),
    _mutant_of_holds("RELEASED_TWICE", _NOT_BALANCED, "FAILS", "SECOND"),
    _mutant_of_holds("TOLD_AND_KEPT", _NOT_BALANCED, "FAILS"),
    _mutant_of_holds("BLIND_HOLD", _WAITS, "FAILS"),
    _mutant_of_holds("LOOK_THEN_HOLD", _WAITS, "FAILS"),
    _mutant_of_holds("NO_LOOK_AGAIN", "used_since", "SWEEPS", holds=2),
    _mutant_of_holds("HOLDS_FIRST", "used_since", "RETIRES"),
    _mutant_of_holds("LOOK_THEN_RETIRE", "is_retired", "RETIRES"),
)
