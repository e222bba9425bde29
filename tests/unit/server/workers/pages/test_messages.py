"""PageQuestion and PageAnswer: what becomes of any bytes, and of too many."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybrpc.builtin.page import PageResponse
from pybrpc.protocols.http1 import HttpHeaders
from pybrpc.server.workers.pages.messages import (
    MAX_ANSWER_BYTES,
    MAX_HEAD_BYTES,
    MAX_QUESTION_BODY_BYTES,
    PAGE,
    MessageReader,
    PageAnswer,
    PageQuestion,
    TooLongError,
)
from tests.fakes.pages import HOSTILE, request_of


def parts_of(data: bytes, most: int = MAX_ANSWER_BYTES) -> tuple[bytes, bytes]:
    """Read a message byte for byte, as a reader may get it."""
    reader = MessageReader(most)
    while reader.bytes_wanted():
        reader.add(data[:1])
        data = data[1:]
    assert data == b""
    return reader.parts()


def asked(question: PageQuestion) -> PageQuestion:
    return PageQuestion.from_parts(*parts_of(question.to_bytes()))


def test_question_arrives_as_it_was_asked() -> None:
    page = request_of("/vars/a;b*?x=1&x=%20&y", wants_html=True, body=b"\0\xff")
    found = asked(PageQuestion(PAGE, page, "secret"))
    assert (found.kind, found.token) == (PAGE, "secret")
    assert found.page.query.items() == page.query.items()
    assert (found.page.name, found.page.path, found.page.body) == ("vars", "a;b*", b"\0\xff")
    assert found.page.wants_html
    assert found.page.is_internal


def test_credentials_of_a_client_go_to_no_worker() -> None:
    headers = HttpHeaders({"Authorization": "secret", "Cookie": "secret", "Accept": "text/html"})
    data = PageQuestion(PAGE, request_of("/vars", headers=headers)).to_bytes()
    assert b"secret" not in data
    assert asked(PageQuestion(PAGE, request_of("/vars", headers=headers))).page.headers[
        "accept"
    ] == ("text/html")


def test_secret_of_forms_is_in_no_repr() -> None:
    assert "secret" not in repr(PageQuestion(PAGE, token="secret"))


def test_post_was_judged_by_the_supervisor() -> None:
    assert "X-Pybrpc-Post" in asked(PageQuestion(PAGE, request_of("/flags", "POST"))).page.headers
    assert "X-Pybrpc-Post" not in asked(PageQuestion(PAGE, request_of("/flags"))).page.headers


def test_answer_arrives_as_it_was_given() -> None:
    answer = PageAnswer.of(PageResponse(HOSTILE, "text/html", 404, {"ETag": "x"}))
    found = PageAnswer.from_parts(*parts_of(answer.to_bytes()))
    assert found == answer
    assert found.response().body == HOSTILE.encode()


def test_what_is_too_long_is_not_sent() -> None:
    with pytest.raises(TooLongError):
        PageQuestion(PAGE, request_of(f"/vars/{'x' * MAX_HEAD_BYTES}")).to_bytes()
    with pytest.raises(TooLongError):
        PageQuestion(PAGE, request_of("/", body=bytes(MAX_QUESTION_BODY_BYTES + 1))).to_bytes()
    with pytest.raises(TooLongError):
        PageAnswer(200, body=bytes(MAX_ANSWER_BYTES + 1)).to_bytes()


@pytest.mark.parametrize(
    "sizes", [(MAX_HEAD_BYTES + 1, 0), (0, 101), (2**32 - 1, 2**32 - 1)], ids=str
)
def test_too_long_message_is_refused_by_its_sizes(sizes: tuple[int, int]) -> None:
    reader = MessageReader(100)
    reader.add(b"".join(size.to_bytes(4, "big") for size in sizes))
    with pytest.raises(TooLongError):
        reader.bytes_wanted()


@given(head=st.binary(max_size=200) | st.sampled_from([b"[" * 5000, b"{}", b"[]", b"1"]))
def test_no_head_is_more_than_an_error(head: bytes) -> None:
    for kind in (PageQuestion, PageAnswer):
        with contextlib.suppress(ValueError, TypeError, KeyError):
            kind.from_parts(head, b"")


@pytest.mark.parametrize("status", [0, 99, 600, "200", None, 200.5])
def test_answer_needs_a_status(status: object) -> None:
    head = json.dumps({"status": status, "headers": {}, "content_type": "x"}).encode()
    with pytest.raises(ValueError, match="status"):
        PageAnswer.from_parts(head, b"")
