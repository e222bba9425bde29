"""The soak's own bookkeeping: it notices what it is there to notice."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import itertools
import json
import logging
import random
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from bench.echo_messages import SERVICE
from pybrpc.errors import AuthenticationError, ConnectError, ErrorCode, Phase, make_rpc_error
from soak.__main__ import conclude
from soak.echo_call import MOST_BYTES, EchoCall, drawn_size, how_packed
from soak.echo_server import EchoServer
from soak.echo_services import PlainEcho, echo
from soak.identity import USERS
from soak.ledger import Ledger, LedgerTotals
from soak.log_watch import LogWatch
from soak.on_purpose import ON_PURPOSE, raiser
from soak.options import SoakOptions, parse_options
from soak.outcome import MOST_LEFT, Outcome
from soak.process_watch import (
    FEWEST_SAMPLES,
    Growth,
    ProcessWatch,
    Sizes,
    objects_by_type,
    sizes_now,
)
from soak.streams.book import StreamTotals
from soak.taken_port import retry_while_taken
from soak.tls import PLAIN

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
        make_rpc_error(ErrorCode.ELOGOFF, "not by this side", phase=Phase.WAITING, peer="p:1"),
    ],
)
def test_a_failure_that_no_fault_explains_is_unexpected(error: Exception) -> None:
    ledger = Ledger()
    ledger.start().failed(error)
    assert ledger.totals().unexpected == 1
    assert repr(error) in ledger.totals().notes[0]


def test_a_server_that_is_started_again_is_expected() -> None:
    ledger = Ledger()
    stopping = make_rpc_error(ErrorCode.ELOGOFF, "stopping", phase=Phase.SERVER, peer="p:1")
    ledger.start().failed(stopping)
    assert ledger.totals().unexpected == 0


def test_a_handler_that_raises_on_purpose_is_expected() -> None:
    ledger = Ledger()
    text = f"ValueError: {ON_PURPOSE}"
    raised = make_rpc_error(ErrorCode.EINTERNAL, text, phase=Phase.SERVER, peer="p:1")
    ledger.start().failed(raised)
    assert ledger.totals().unexpected == 0


@pytest.mark.parametrize("kind", [asyncio.CancelledError, concurrent.futures.CancelledError])
def test_a_cancellation_is_expected(kind: type[BaseException]) -> None:
    ledger = Ledger()
    ledger.start().failed(kind())
    assert ledger.totals().unexpected == 0


def echoed(call: EchoCall, user: str = "") -> Any:
    """The answer that the server gives to `call` of `user`."""
    controller = call.controller
    controller.auth_context = pybrpc.AuthContext(user=user) if user else None
    return echo(call.request, controller)


def a_call(user: str = "", packed: bool = True) -> EchoCall:
    """One with an attachment; compressed and checksummed, or neither."""
    for seed in itertools.count():
        call = EchoCall(random.Random(seed), user)
        kinds = how_packed(call.controller, "request")[:2]
        if len(call.controller.request_attachment) and all(bool(kind) is packed for kind in kinds):
            return call
    raise AssertionError


@pytest.mark.parametrize("packed", [True, False])
def test_an_echo_is_what_was_asked_for(packed: bool) -> None:
    call = a_call("ann", packed)
    assert call.complaint(echoed(call, "ann")) == ""


def test_an_answer_to_something_else_is_noticed() -> None:
    call = a_call()
    echoed(call)
    assert "answered 'call 0'" in call.complaint(type(call.request)(message="call 0"))


def test_other_bytes_are_noticed() -> None:
    call = a_call()
    response = echoed(call)
    call.controller.response_attachment = bytes(call.controller.request_attachment) + b"x"
    assert "came back as other" in call.complaint(response)


def test_wrong_compression_of_a_response_is_reported() -> None:
    call = a_call()
    response = echoed(call)
    call.controller.response_compress_type = pybrpc.CompressType.NONE
    assert "compressed or checksummed otherwise" in call.complaint(response)


def test_a_handler_that_answers_instead_of_raising_is_noticed() -> None:
    call = a_call()
    response = echoed(call)
    call.ask_to_raise(ValueError)
    assert "was to raise ValueError" in call.complaint(response)


def test_a_mistaken_identity_is_noticed() -> None:
    call = a_call("ann")
    assert "called by 'ann', taken for 'bob'" in call.complaint(echoed(call, "bob"))


def test_a_server_is_started_again_where_it_was() -> None:
    ann, bob = USERS
    with EchoServer(PlainEcho(), PLAIN, auth=ann) as server:
        with pybrpc.Channel(server.endpoint, auth=bob, wait_for_ready=True, timeout=30) as channel:
            for grace_s in (1.0, 0.0):
                call = EchoCall(random.Random(1), bob.user)
                response = pybrpc.Stub(SERVICE, channel).Echo(
                    call.request, controller=call.controller
                )
                assert call.complaint(response) == ""
                server.restart(grace_s)
    server.restart(0.0)
    with pybrpc.Channel(server.endpoint, max_retry=0) as channel, pytest.raises(ConnectError):
        pybrpc.Stub(SERVICE, channel).Echo(call.request)


def test_a_port_that_is_taken_is_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pybrpc.Server() as server:
        host, port = other.getsockname()
        timer = threading.Timer(0.05, other.close)
        timer.start()
        retry_while_taken(lambda: server.start(f"{host}:{port}"))
        assert server.endpoint.port == port
        timer.join()


def test_a_server_takes_nobody_without_a_name() -> None:
    with EchoServer(PlainEcho(), PLAIN, auth=USERS[0]) as server:
        with pybrpc.Channel(server.endpoint) as channel, pytest.raises(AuthenticationError):
            pybrpc.Stub(SERVICE, channel).Echo(EchoCall(random.Random(1)).request)


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


def test_objects_that_stay_are_counted() -> None:
    before = objects_by_type()
    kept = [Ledger() for _ in range(50)]
    assert (objects_by_type() - before)["Ledger"] == len(kept)


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
    assert watch.texts[0].startswith("pybrpc: a callback raised: ValueError('why')")
    assert "ended: ValueError('in a thread')" in watch.texts[1]
    assert "in fail" in watch.texts[1], "from where it was raised"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_errors_raised_on_purpose_may_be_logged_but_may_end_no_thread() -> None:
    raised = SystemExit(ON_PURPOSE)
    with LogWatch() as watch:
        logging.getLogger("pybrpc").error("a callback raised", exc_info=raised)
        assert (watch.count, watch.on_purpose) == (0, 1)
        thread = threading.Thread(target=raiser(ValueError))
        thread.start()
        thread.join()
    assert watch.count == 1


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


SIZES = Sizes(8, 1, 1 << 20)
GOOD = Outcome(
    seconds=1,
    has_tls=True,
    totals=LedgerTotals(10, 9, 1, 0, 0, 0, {}, ()),
    streams=StreamTotals(),
    faults={},
    deeds={},
    hostile={},
    accounts=[],
    at_start=SIZES,
    at_end=SIZES,
    left={"Sizes": MOST_LEFT - 1, "dict": 1},
    growth=[Growth("rss_bytes", 100, 120, 20)],
    log_count=0,
    log_texts=[],
    on_purpose=0,
    stuck=[],
)


def with_totals(**changes: int) -> Outcome:
    return dataclasses.replace(GOOD, totals=dataclasses.replace(GOOD.totals, **changes))


def test_a_good_run_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert conclude(GOOD, SoakOptions()) == 0
    assert "PASSED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (with_totals(started=0, answered=0, failed=0), "no call was started"),
        (with_totals(answered=8), "1 calls have no outcome"),
        (with_totals(told_twice=1), "1 calls have two outcomes or more"),
        (with_totals(wrong_answers=2), "2 answers to something else"),
        (with_totals(unexpected=3), "3 failures that no fault explains"),
        (
            dataclasses.replace(GOOD, streams=StreamTotals(unended=5)),
            "streams: 5 sides never got `on_closed`",
        ),
        (dataclasses.replace(GOOD, log_count=4), "4 errors were logged"),
        (
            dataclasses.replace(GOOD, accounts=["1 connections", "2 bytes unanswered"]),
            "counts of servers at rest: 1 connections; 2 bytes unanswered",
        ),
        (dataclasses.replace(GOOD, stuck=["soak-1"]), "threads that don't end: soak-1"),
        (dataclasses.replace(GOOD, at_end=Sizes(9, 1, 0)), "descriptors: 8 before, 9 after"),
        (dataclasses.replace(GOOD, at_end=Sizes(8, 2, 0)), "threads: 1 before, 2 after"),
        (
            dataclasses.replace(GOOD, left={"Socket": MOST_LEFT, "dict": 1}),
            "501 objects are left, such as 500 Socket, 1 dict",
        ),
        (
            dataclasses.replace(GOOD, growth=[Growth("rss_bytes", 100, 121, 20)]),
            "rss_bytes grew: 100 early, 121 late (up to 120 is tolerated)",
        ),
    ],
)
def test_each_invariant_that_does_not_hold_ends_with_1(
    outcome: Outcome, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = SoakOptions(report=tmp_path / "report.json")
    assert conclude(outcome, options) == 1
    output = capsys.readouterr().out
    assert f"BROKEN  {text}" in output
    assert "PASSED" not in output
    assert options.report is not None
    assert json.loads(options.report.read_text())["broken"] == [text]


def test_a_ledger_with_a_lost_call_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    ledger = Ledger()
    answered, _lost = ledger.start(), ledger.start()
    answered.answered()
    assert conclude(dataclasses.replace(GOOD, totals=ledger.totals()), SoakOptions()) == 1
    assert "BROKEN  1 calls have no outcome" in capsys.readouterr().out
