"""FormToken: a POST comes from a form of this process, or from a program."""

from __future__ import annotations

import os

import pytest

from pybrpc.builtin.form_token import FORM_TOKEN, POST_HEADER, FormToken
from pybrpc.builtin.page import PageError
from pybrpc.protocols.http1 import HttpHeaders
from tests.fakes.pages import Markup, request_of


def value_of(token: FormToken) -> str:
    (value,) = Markup(token.field()).values_of("value")
    return value


def test_the_token_of_its_form_is_accepted() -> None:
    body = f"token={value_of(FORM_TOKEN)}&value=1".encode()
    FORM_TOKEN.check(request_of("/flags/a", "POST", body=body))


@pytest.mark.parametrize("body", [b"", b"token=", b"token=wrong", b"token=%FF%FE", b"\xff"])
def test_another_token_is_refused(body: bytes) -> None:
    with pytest.raises(PageError) as caught:
        FORM_TOKEN.check(request_of("/flags/a", "POST", body=body))
    assert caught.value.status == 403
    assert POST_HEADER in caught.value.text


def test_the_header_stands_for_the_token() -> None:
    FORM_TOKEN.check(request_of("/flags/a", "POST", headers=HttpHeaders({"x-pybrpc-post": "1"})))


def test_each_process_has_another_one() -> None:
    assert value_of(FormToken()) != value_of(FormToken())
    token = FormToken()
    before = value_of(token)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, value_of(token).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    inside = os.read(read, 100).decode()
    os.close(read)
    os.close(write)
    assert inside
    assert inside != before
    assert value_of(token) == before


def test_repr_does_not_show_it() -> None:
    assert value_of(FORM_TOKEN) not in repr(FORM_TOKEN)
