"""outcome_of: the verdict on a server that follows from the end of an attempt."""

from __future__ import annotations

from collections.abc import Callable

from pybrpc.base.guard import CLIENT, deliver_interrupt
from pybrpc.client.calls.attempt_end import CanceledBy
from pybrpc.client.cluster.balancing.load_balancer import Outcome
from pybrpc.errors import CONNECTION_CODES, ErrorCode

Classifier = Callable[[int], bool | None]
"""Gets the code of a response with an error: True if the server is to blame for it, False if the
caller is, `None` to have the library decide."""

FAULT_CODES = frozenset(
    {
        *map(int, CONNECTION_CODES),
        int(ErrorCode.ERPCTIMEDOUT),
        int(ErrorCode.EOVERCROWDED),
        int(ErrorCode.EINTERNAL),
        int(ErrorCode.ERESPONSE),
    }
)
"""The server is to blame: it can't be reached, is too slow, has no room, or failed."""

NEUTRAL_CODES = frozenset(
    {
        int(ErrorCode.ELOGOFF),
        int(ErrorCode.ECANCELED),
        int(ErrorCode.EPCHANFINISH),
        int(ErrorCode.EBACKUPREQUEST),
        int(ErrorCode.EREJECT),
    }
)
"""They say nothing of how well the server works."""

_CANCELED = {
    CanceledBy.DEADLINE: Outcome.FAULT,
    CanceledBy.OTHER_ATTEMPT: Outcome.OVERTAKEN,
    CanceledBy.CALLER: Outcome.NEUTRAL,
    CanceledBy.HANDLER: Outcome.NEUTRAL,
    CanceledBy.CLOSE: Outcome.NEUTRAL,
}


def outcome_of(
    code: int, canceled_by: CanceledBy | None, classifier: Classifier | None = None
) -> Outcome:
    """How an attempt ended that has this code. What `classifier` raises is logged."""
    if canceled_by is not None:
        return _CANCELED[canceled_by]
    if code == 0:
        return Outcome.SUCCESS
    is_fault = _ask(classifier, code)
    if is_fault is not None:
        return Outcome.FAULT if is_fault else Outcome.SUCCESS
    if code in FAULT_CODES:
        return Outcome.FAULT
    if code == ErrorCode.ELIMIT:
        return Outcome.REFUSED
    return Outcome.NEUTRAL if code in NEUTRAL_CODES else Outcome.SUCCESS


def _ask(classifier: Classifier | None, code: int) -> bool | None:
    if classifier is None:
        return None
    try:
        is_fault = classifier(code)
        return None if is_fault is None else bool(is_fault)
    except BaseException as error:
        CLIENT.raised("the classifier of a circuit breaker raised", error=error)
        deliver_interrupt(error)
        return None
