"""The text of the option `load_balancer`."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.client.cluster.balancing.parameters import (
    any_text,
    number,
    parsed,
    split_spec,
    whole,
)


@pytest.mark.parametrize(
    ("text", "name", "parameters"),
    [
        ("rr", "rr", {}),
        (" RR ", "rr", {}),
        ("p2c:", "p2c", {}),
        ("P2C:Choices=4  tau_ms=50 ", "p2c", {"choices": "4", "tau_ms": "50"}),
        ("rr:zone=A:b=c", "rr", {"zone": "A:b=c"}),
        ("", "", {}),
    ],
)
def test_name_and_parameters(text: str, name: str, parameters: dict[str, str]) -> None:
    assert split_spec(text) == (name, parameters)


@pytest.mark.parametrize("text", ["rr:x", "rr:x=", "rr:=1", "rr:x=1 y"])
def test_parameter_that_is_no_pair_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match='write "key=value"'):
        split_spec(text)


def test_parameter_that_comes_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="x comes twice"):
        split_spec("rr:x=1 X=2")


def test_text_that_is_no_string_is_refused() -> None:
    text: Any = 5
    with pytest.raises(TypeError, match="load_balancer must be a string, not 5"):
        split_spec(text)


KNOWN = {"count": whole(1, 9), "factor": number(1, 100), "share": number(0), "zone": any_text}


def test_values() -> None:
    texts = {"count": "9", "factor": "1.25", "share": "1e-3", "zone": "x"}
    assert parsed("b", texts, KNOWN) == {"count": 9, "factor": 1.25, "share": 0.001, "zone": "x"}


@pytest.mark.parametrize("text", ["0", "10", "-1", "1.5", "x", "1_0", "\u0661", "9" * 5000])
def test_wrong_whole_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"'b': count=.*: it must be a whole number from 1 to 9"):
        parsed("b", {"count": text}, KNOWN)


@pytest.mark.parametrize("text", ["1", "101", "nan", "inf", "x", "-5"])
def test_wrong_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="it must be a number above 1, at most 100"):
        parsed("b", {"factor": text}, KNOWN)


def test_infinite_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"it must be a number above 0$"):
        parsed("b", {"share": "inf"}, KNOWN)


def test_unknown_parameter_is_refused_with_those_there_are() -> None:
    expected = "load balancer 'b' has no parameter 'cuont'; it has count, factor, share, zone"
    with pytest.raises(ValueError, match=expected):
        parsed("b", {"cuont": "1"}, KNOWN)
    with pytest.raises(ValueError, match="it has none"):
        parsed("b", {"cuont": "1"}, {})
