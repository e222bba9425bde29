"""The bare text of a handler, without what its server has put before it."""

from __future__ import annotations

import pytest

from pybrpc.errors import LimitReachedError, Phase
from pybrpc.rpc.remote_error import bare_text, remote_error


def test_error_of_a_response_has_its_text_and_the_bare_message() -> None:
    error = remote_error(2004, "[10.0.0.7:8000][E2004]too many", "10.0.0.7:8000")
    assert isinstance(error, LimitReachedError)
    assert (error.text, error.message) == ("[10.0.0.7:8000][E2004]too many", "too many")
    assert error.remote_text == error.text
    assert (error.phase, error.peer, error.is_remote) == (Phase.SERVER, "10.0.0.7:8000", True)


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("[10.0.0.7:8000][E1003]no", "no"),
        ("[10.0.0.7:8000]no code", "no code"),
        ("[[fe80::1%eth0]:8000][E1003]no", "no"),
        ("[unix:/run/echo.sock][E-5]no", "no"),
        ("[E2001]the response can't be packed", "the response can't be packed"),
        ("plain", "plain"),
        ("", ""),
        ("[see the manual] no", "[see the manual] no"),
        ("[1.2.3.4:5][E1]a [1.2.3.4:5][E2]b", "a b"),
        ("[1.2.3.4:5]a [1.2.3.4:5]b", "a b"),
        ("[1.2.3.4:5][E1]a [4.3.2.1:5][E2]b", "a [4.3.2.1:5][E2]b"),
    ],
)
def test_mark_of_a_server_is_taken_off(text: str, bare: str) -> None:
    assert bare_text(text) == bare
