"""`ask`: workers that answer, die, keep silent, or answer nonsense."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from pybrpc.server.workers.pages.asking import AskedWorker, ask
from pybrpc.server.workers.pages.channel import PageChannel
from pybrpc.server.workers.pages.messages import (
    MAX_ANSWER_BYTES,
    MAX_QUESTION_BODY_BYTES,
    PAGE,
    PageAnswer,
    PageQuestion,
    TooLongError,
)
from tests.fakes.odd_worker import Behaviour, OddWorker, sizes
from tests.fakes.page_workers import PageWorkers
from tests.fakes.pages import request_of

SOON_S = 0.2
LATE_S = 60.0
QUESTION = PageQuestion(PAGE, request_of("/version"))


@pytest.fixture
def odd() -> Iterator[Callable[[Behaviour], AskedWorker]]:
    made: list[OddWorker] = []

    def make(do: Behaviour) -> AskedWorker:
        made.append(OddWorker(do))
        return made[-1].asked

    yield make
    for worker in made:
        worker.close()


def test_each_worker_answers() -> None:
    with PageWorkers(3) as workers:
        for number, view in enumerate(workers.views):
            view.version = f"v{number}"
        answers = ask(workers.workers, QUESTION, LATE_S)
        texts = [answer.text() for answer in answers.values() if isinstance(answer, PageAnswer)]
        assert texts == ["v0", "v1", "v2"]


def test_nobody_to_ask() -> None:
    assert ask([], QUESTION, LATE_S) == {}


def test_silent_worker_keeps_no_other_answer_away() -> None:
    with PageWorkers(2, silent=(0,)) as workers:
        silent, good = ask(workers.workers, QUESTION, SOON_S).values()
        assert silent == "it did not answer within 0.2 s"
        assert isinstance(good, PageAnswer)


def test_worker_that_has_ended_is_told() -> None:
    with PageWorkers(1) as workers:
        (worker,) = workers.workers
        worker.channel.close()
        assert ask([worker], QUESTION, LATE_S)[worker] == "it can't be asked: the worker has ended"


def test_worker_that_dies_before_it_takes_the_question() -> None:
    channel = PageChannel()
    worker = AskedWorker(0, 7, "serving", channel)
    timer = threading.Timer(SOON_S, channel.release_theirs)
    timer.start()
    answer = ask([worker], QUESTION, LATE_S)[worker]
    timer.join()
    channel.close()
    assert answer == "it has ended without an answer"


def test_worker_that_takes_no_questions_is_not_waited_for() -> None:
    channel = PageChannel()
    worker = AskedWorker(0, 7, "serving", channel)
    answers = {ask([worker], QUESTION, 0.0)[worker]}
    while answers == {"it did not answer within 0 s"}:
        answers.add(ask([worker], QUESTION, 0.0)[worker])
    channel.close()
    assert any(isinstance(each, str) and each.startswith("it ") for each in answers)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "it has ended without an answer"),
        (b"\0", "it has ended without an answer"),
        (sizes(100, 0) + b"{", "it has ended without an answer"),
        (sizes(2, 0) + b"{}", "it has answered with nonsense (KeyError)"),
        (sizes(2, 0) + b"[]", "it has answered with nonsense (TypeError)"),
        (sizes(1, 0) + b"x", "it has answered with nonsense (JSONDecodeError)"),
        (sizes(2, MAX_ANSWER_BYTES + 1), "it has answered with a message of 2 and 8388609 bytes"),
    ],
)
def test_nonsense_is_told(odd: Callable[[Behaviour], AskedWorker], data: bytes, text: str) -> None:
    def answer(stream: socket.socket) -> None:
        while len(stream.recv(4096)) == 4096:
            pass
        stream.sendall(data)

    worker = odd(answer)
    assert ask([worker], QUESTION, LATE_S)[worker] == text


def test_worker_that_reads_nothing_is_told(odd: Callable[[Behaviour], AskedWorker]) -> None:
    worker = odd(lambda stream: None)
    answer = ask([worker], QUESTION, LATE_S)[worker]
    assert answer == "it has ended without an answer"


def test_large_question_and_answer_pass() -> None:
    with PageWorkers(1) as workers:
        workers.views[0].version = "x" * 1_000_000
        page = request_of("/version", body=bytes(MAX_QUESTION_BODY_BYTES))
        (answer,) = ask(workers.workers, PageQuestion(PAGE, page), LATE_S).values()
        assert isinstance(answer, PageAnswer)
        assert len(answer.body) == 1_000_000


def test_question_that_is_too_long_is_asked_nobody() -> None:
    page = request_of("/version", body=bytes(MAX_QUESTION_BODY_BYTES + 1))
    with PageWorkers(1) as workers, pytest.raises(TooLongError):
        ask(workers.workers, PageQuestion(PAGE, page), LATE_S)
