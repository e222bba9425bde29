"""call_ids and CallIdsFilter: the ids of the running call, in logs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from pybrpc.base.deadline import NEVER
from pybrpc.rpc.serving import (
    forget_handler_thread,
    handler_thread,
    new_served_call,
    set_current_call,
)
from pybrpc.tracing.log_ids import MAX_REQUEST_ID_CHARS, CallIds, CallIdsFilter, call_ids
from pybrpc.tracing.span import Span
from pybrpc.tracing.switch import set_current_span
from tests.fakes.spans import new_span, own_context


def within(
    function: Callable[[], Any], span: Span | None = None, ids: tuple[Any, Any] | None = None
) -> Any:
    """Run `function` as if in an async handler."""

    def run() -> Any:
        served = new_served_call(NEVER)
        served.ids = ids
        set_current_call(served)
        set_current_span(span)
        return function()

    return own_context(run)


def record() -> logging.LogRecord:
    made = logging.LogRecord("name", logging.INFO, "path", 1, "text", (), None)
    assert CallIdsFilter().filter(made) is True
    return made


def shown(made: Any) -> tuple[str, str, str, str]:
    return made.log_id, made.request_id, made.trace_id, made.span_id


def test_outside_of_handlers_there_are_no_ids() -> None:
    assert call_ids() == CallIds(None, None, None, None)
    assert shown(record()) == ("-", "-", "-", "-")


def test_ids_of_the_request_are_there_without_a_span() -> None:
    assert within(call_ids, ids=(5, "r")) == CallIds(5, "r", None, None)
    assert within(call_ids, ids=None) == CallIds()


def test_ids_of_the_trace_are_hexadecimal() -> None:
    span = new_span(trace_id=0xAB, span_id=0xCD, log_id=9)
    assert within(call_ids, span, (5, None)) == CallIds(5, None, "ab", "cd")
    assert within(call_ids, span) == CallIds(9, None, "ab", "cd")
    assert shown(within(record, span, (5, "r"))) == ("5", "r", "ab", "cd")


def test_plain_handler_finds_the_ids_in_its_thread() -> None:
    served = new_served_call(NEVER)
    served.ids = (5, "r")
    thread = handler_thread()
    try:
        thread.served = served
        assert own_context(call_ids) == CallIds(5, "r")
    finally:
        thread.served = None
        forget_handler_thread()


def test_request_id_of_a_caller_can_not_add_a_line_to_a_log() -> None:
    made = within(record, ids=(None, "a\nERROR forged\x1b[2J"))
    assert made.request_id == "a\\nERROR forged\\x1b[2J"
    long = within(record, ids=(None, "x" * 10_000)).request_id
    assert long == "x" * MAX_REQUEST_ID_CHARS + "..."


def test_missing_ids_are_shown_as_asked() -> None:
    made = logging.LogRecord("name", logging.INFO, "path", 1, "text", (), None)
    CallIdsFilter(missing=None).filter(made)
    assert shown(made) == (None, None, None, None)
    with pytest.raises(TypeError, match="missing"):
        CallIdsFilter(missing=5)  # type: ignore[arg-type]


def test_handler_of_logging_shows_the_ids() -> None:
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Lines()
    handler.addFilter(CallIdsFilter())
    handler.setFormatter(logging.Formatter("%(message)s log_id=%(log_id)s trace=%(trace_id)s"))
    logger = logging.Logger("any")
    logger.addHandler(handler)
    within(lambda: logger.info("hello"), new_span(trace_id=0xAB), (5, None))
    assert lines == ["hello log_id=5 trace=ab"]
