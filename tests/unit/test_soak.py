"""The soak's own bookkeeping: it notices what it is there to notice."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import random
import threading
from typing import Any

import pytest

from pybrpc.errors import ErrorCode, Phase, make_rpc_error
from soak.echo_call import MOST_BYTES, EchoCall, drawn_size
from soak.ledger import Ledger
from soak.log_watch import LogWatch
from soak.options import parse_options
from soak.process_watch import FEWEST_SAMPLES, ProcessWatch, Sizes, sizes_now

EEOF = make_rpc_error(ErrorCode.EEOF, "Got EOF", phase=Phase.WAITING, peer="127.0.0.1:1")


def test_each_call_is_counted_once() -> None:
    ledger = Ledger()
    answered, failed, canceled, _in_flight = (ledger.start() for _ in range(4))
    answered.answered()
    failed.failed(EEOF)
    canceled.failed(asyncio.CancelledError())
    totals = ledger.totals()
    assert (totals.started, totals.answered, totals.failed, totals.lost) == (4, 1, 2, 1)
    assert totals.failures == {"EEOF waiting": 1, "ECANCELED": 1}
    assert (totals.told_twice, totals.wrong_answers, totals.unexpected) == (0, 0, 0)


def test_a_second_outcome_is_noticed_and_counts_nothing_else() -> None:
    ledger = Ledger()
    ticket = ledger.start()
    for _ in range(3):
        ticket.answered()
    ticket.failed(EEOF)
    totals = ledger.totals()
    assert (totals.answered, totals.failed, totals.told_twice, totals.lost) == (1, 0, 1, 0)
    assert "told 4 times" in totals.notes[-1]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a defect"),
        make_rpc_error(ErrorCode.ERESPONSE, "nonsense", phase=Phase.WAITING, peer="p:1"),
        make_rpc_error(ErrorCode.EINTERNAL, "raised", phase=Phase.SERVER, peer="p:1"),
        make_rpc_error(ErrorCode.EEOF, "no phase", peer="p:1"),
        make_rpc_error(ErrorCode.EEOF, "no peer", phase=Phase.WAITING),
    ],
)
def test_a_failure_that_no_fault_explains_is_unexpected(error: Exception) -> None:
    ledger = Ledger()
    ledger.start().failed(error)
    assert ledger.totals().unexpected == 1
    assert repr(error) in ledger.totals().notes[0]


@pytest.mark.parametrize("kind", [asyncio.CancelledError, concurrent.futures.CancelledError])
def test_a_cancellation_is_expected(kind: type[BaseException]) -> None:
    ledger = Ledger()
    ledger.start().failed(kind())
    assert ledger.totals().unexpected == 0


def test_an_answer_to_something_else_is_noticed() -> None:
    def answer_to(call: EchoCall, message: str, attachment: bytes) -> str:
        call.controller.response_attachment = attachment
        return call.complaint(type(call.request)(message=message))

    call = EchoCall(random.Random(1))
    sent = bytes(call.controller.request_attachment)
    assert answer_to(call, call.request.message, sent) == ""
    assert "answered 'call 0'" in answer_to(call, "call 0", sent)
    assert "came back as other" in answer_to(call, call.request.message, sent + b"x")


def test_calls_are_of_every_size() -> None:
    source = random.Random(1)
    sizes = [drawn_size(source) for _ in range(1000)]
    assert min(sizes) == 0
    assert MOST_BYTES / 2 < max(sizes) <= MOST_BYTES


def watch_of(rss_bytes: list[int]) -> ProcessWatch:
    watch = ProcessWatch()
    watch.samples = [Sizes(10, 5, size) for size in rss_bytes]
    return watch


def test_memory_that_grows_steadily_is_noticed() -> None:
    grown, *others = watch_of([(100 << 20) + (n << 18) for n in range(2 * FEWEST_SAMPLES)]).growth()
    assert grown.name == "rss_bytes"
    assert not grown.is_in_bounds
    assert all(other.is_in_bounds for other in others)


def test_memory_that_only_wavers_is_not() -> None:
    wavering = [(100 << 20) + (n % 7 << 20) for n in range(FEWEST_SAMPLES)]
    assert all(growth.is_in_bounds for growth in watch_of(wavering).growth())


def test_a_short_run_says_nothing_about_growth() -> None:
    assert watch_of([1, 1 << 40]).growth()[0].tolerance is None
    assert all(growth.is_in_bounds for growth in ProcessWatch().growth())


def test_a_process_has_some_size() -> None:
    before = sizes_now()
    assert before.rss_bytes > 1 << 20
    with open("/dev/null"):
        assert sizes_now().descriptors == before.descriptors + 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_errors_that_nobody_catches_are_noticed() -> None:
    def fail() -> None:
        raise ValueError("in a thread")

    with LogWatch() as watch:
        logging.getLogger("pybrpc").error("a callback raised", exc_info=ValueError("why"))
        logging.getLogger("pybrpc").warning("only a warning")
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
    logging.getLogger("pybrpc").error("after it")
    assert watch.count == 2
    assert watch.texts[0] == "pybrpc: a callback raised: ValueError('why')"
    assert "ended with ValueError('in a thread')" in watch.texts[1]


@pytest.mark.parametrize(
    "arguments", [["--minutes", "0"], ["--threads", "-1"], ["--threads", "0", "--tasks", "0"]]
)
def test_options_that_make_no_sense(arguments: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit):
        parse_options(arguments)
    assert "error:" in capsys.readouterr().err


def test_options() -> None:
    assert parse_options(["--no-tls"]).tls is False
    assert parse_options([]).seconds == 1800
