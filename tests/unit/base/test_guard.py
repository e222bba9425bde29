"""User code is run, and everything is logged, by functions that never raise."""

from __future__ import annotations

import asyncio
import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pybrpc.base.guard import (
    CLIENT,
    REDIS,
    SERVER,
    TRANSPORT,
    WORKERS,
    deliver_interrupt,
    escaped,
    log_raised,
    log_warning,
    run_guarded,
)

EVERY_KIND = (
    ValueError,
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    asyncio.CancelledError,
    MemoryError,
    RecursionError,
)


class RaisingFilter(logging.Filter):
    def __init__(self, kind: type[BaseException]) -> None:
        super().__init__()
        self.kind = kind
        self.asked = 0

    def filter(self, record: logging.LogRecord) -> bool:
        self.asked += 1
        raise self.kind("of a filter")


@pytest.fixture
def raising_filter(request: pytest.FixtureRequest) -> Iterator[RaisingFilter]:
    found = RaisingFilter(request.param)
    logger = logging.getLogger("pybrpc")
    logger.addFilter(found)
    yield found
    logger.removeFilter(found)


def in_a_thread(function: object) -> None:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            function()  # type: ignore[operator]
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert raised == []


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_what_user_code_raises_is_logged(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def user_code(argument: str) -> None:
        raise kind(argument)

    in_a_thread(lambda: run_guarded(user_code, "a word", what="the callback of a call"))
    (record,) = caplog.records
    assert record.getMessage() == "the callback of a call raised"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], kind)


def test_run_guarded_says_whether_the_function_returned() -> None:
    assert run_guarded(int, "7", what="int")
    in_a_thread(lambda: None)
    assert not run_guarded(int, "seven", what="int")


@pytest.mark.parametrize("raising_filter", EVERY_KIND, indirect=True)
def test_filter_that_raises_ends_no_thread(
    raising_filter: RaisingFilter, capfd: pytest.CaptureFixture[str]
) -> None:
    in_a_thread(lambda: log_warning("a warning of %s", "something"))
    in_a_thread(lambda: log_raised("%s raised", "it", error=ValueError()))
    assert raising_filter.asked == 2
    assert f"raised {raising_filter.kind.__name__}" in capfd.readouterr().err


def test_value_without_a_text_ends_no_thread() -> None:
    class Unprintable:
        def __str__(self) -> str:
            raise SystemExit

    in_a_thread(lambda: log_warning("%s", Unprintable()))


def test_record_names_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    log_warning("a warning")
    assert caplog.records[0].funcName == "test_record_names_the_caller"


def test_keyboard_interrupt_of_the_main_thread_reaches_it() -> None:
    with pytest.raises(KeyboardInterrupt):
        deliver_and_go_on()


def deliver_and_go_on() -> None:
    deliver_interrupt(KeyboardInterrupt())
    for number in range(1000):
        str(number)


def test_keyboard_interrupt_in_a_loop_of_the_main_thread_ends_the_loop_later() -> None:
    steps: list[str] = []

    async def main() -> None:
        deliver_interrupt(KeyboardInterrupt())
        steps.append("went on")
        await asyncio.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert steps == ["went on"]


def test_other_errors_and_threads_are_not_interrupted() -> None:
    deliver_interrupt(SystemExit())
    in_a_thread(lambda: deliver_interrupt(KeyboardInterrupt()))


FORGED = "bad\r\nERROR root: all is well\x1b[2J\u2028\x85\udc80"


class Forged(Exception):
    def __str__(self) -> str:
        return FORGED


def formatted(record: logging.LogRecord) -> list[str]:
    return logging.Formatter("LINE %(message)s").format(record).splitlines()


@pytest.mark.parametrize("value", [FORGED, Forged()], ids=["str", "error"])
def test_value_with_line_ends_makes_one_line(
    value: object, caplog: pytest.LogCaptureFixture
) -> None:
    TRANSPORT.warning("the peer sent %s", value)
    (line,) = formatted(caplog.records[0])
    assert line.isprintable()
    assert line.startswith(r"LINE the peer sent bad\r\nERROR root: all is well\x1b[2J")


def test_exception_with_line_ends_begins_no_line_at_the_margin(
    caplog: pytest.LogCaptureFixture,
) -> None:
    try:
        try:
            raise Forged
        except Forged as cause:
            raise ValueError("one\nLINE two") from cause
    except ValueError as error:
        TRANSPORT.raised("it raised", error=error)
    lines = formatted(caplog.records[0])
    assert [line for line in lines if line.startswith(("LINE", "ERROR"))] == ["LINE it raised"]
    assert all(line.isprintable() for line in lines)
    assert lines[-2:] == ["ValueError: one", "    LINE two"]


class Noted:
    """In place of a list of notes."""

    def __repr__(self) -> str:
        return "note\nLINE forged"


def noted(error: BaseException) -> BaseException:
    error.add_note("note\nLINE forged\n\tLINE forged\u2028LINE forged")
    error.add_note("Traceback (most recent call last):")
    return error


def odd_notes() -> BaseException:
    error: Any = ValueError("why")
    error.__notes__ = Noted()
    return error


def caused() -> BaseException:
    error = noted(ValueError("one"))
    error.__cause__ = noted(KeyError("two"))
    return error


def grouped() -> BaseException:
    inner = noted(ExceptionGroup("inner\nLINE forged", [noted(KeyError("z\nLINE forged"))]))
    return noted(ExceptionGroup("outer\nLINE forged", [noted(ValueError("why")), inner]))


def of_syntax() -> BaseException:
    place = ("file\nLINE forged", 1, 1, "text\nLINE forged\n")
    return noted(SyntaxError("bad\nLINE forged", place))


HEADER = "Traceback (most recent call last):"


def of_odd_type() -> BaseException:
    return noted(type("Odd\nLINE forged", (Exception,), {})("why"))


@pytest.mark.parametrize(
    ("make", "at_margin"),
    [
        (lambda: noted(ValueError("why")), [HEADER, "ValueError: why"]),
        (odd_notes, [HEADER, "ValueError: why"]),
        (caused, ["KeyError: 'two'", "The above ", HEADER, "ValueError: one"]),
        (grouped, []),
        (of_syntax, [HEADER, "SyntaxError: bad"]),
        (of_odd_type, [HEADER, f"{__name__}.Odd"]),
    ],
    ids=["notes", "no list of notes", "cause", "groups", "syntax", "name of a type"],
)
@pytest.mark.parametrize("is_raised", [False, True])
def test_no_part_of_an_exception_forges_a_line(
    make: Callable[[], BaseException],
    at_margin: list[str],
    is_raised: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = make()
    if is_raised:
        with pytest.raises(type(error)):
            raise error
    TRANSPORT.raised("it raised", error=error)
    lines = formatted(caplog.records[0])
    assert all(line.isprintable() for line in lines)
    found = [line for line in lines[1:] if line[:1] not in ("", " ")]
    wanted = [line for line in at_margin if is_raised or line != HEADER]
    assert [line[: len(begin)] for line, begin in zip(found, wanted, strict=True)] == wanted


def test_traceback_of_a_cause_is_left_to_the_formatter(caplog: pytest.LogCaptureFixture) -> None:
    try:
        try:
            raise KeyError("two")
        except KeyError as cause:
            raise ValueError("one") from cause
    except ValueError as error:
        TRANSPORT.raised("it raised", error=error)
        usual = "".join(traceback.format_exception(error)).splitlines()
    assert formatted(caplog.records[0])[1:] == usual


def test_usual_traceback_is_left_to_the_formatter() -> None:
    seen: list[str | None] = []

    class Sees(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.exc_text)

    handler, logger = Sees(), logging.getLogger("pybrpc")
    logger.addHandler(handler)
    TRANSPORT.raised("it raised", error=ValueError("why"))
    TRANSPORT.raised("it raised", error=ValueError("one\ntwo"))
    logger.removeHandler(handler)
    assert seen == [None, "ValueError: one\n    two"]


@pytest.mark.parametrize("text", ["naïve 中文\u3000", "100 %", ""])
def test_other_texts_are_logged_as_they_are(text: str) -> None:
    assert escaped(text) == text


def test_each_part_of_the_library_has_a_logger_below_pybrpc() -> None:
    for log in (CLIENT, REDIS, SERVER, TRANSPORT, WORKERS):
        parent = log._logger.parent
        assert parent is not None
        assert parent.name in ("pybrpc", "pybrpc.server")
