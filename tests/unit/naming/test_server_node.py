"""ServerNode: what the words of a tag mean."""

from __future__ import annotations

import pytest

from pybrpc.errors import AddressError
from pybrpc.naming import ServerNode
from pybrpc.naming.server_node import weight_text


@pytest.mark.parametrize(
    ("tag", "weight", "zone", "partition"),
    [
        ("", None, "", None),
        ("3", 3.0, "", None),
        ("0.5", 0.5, "", None),
        ("weight=10 zone=a 0/4", 10.0, "a", (0, 4)),
        ("0", None, "", None),
        ("-1", None, "", None),
        ("1ab", None, "", None),
        ("weight=x", None, "", None),
        ("4/4", None, "", None),
        ("main 3/4", None, "", (3, 4)),
        ("9" * 400, None, "", None),
        ("9" * 300, 1e9, "", None),
    ],
)
def test_words_of_a_tag(
    tag: str, weight: float | None, zone: str, partition: tuple[int, int] | None
) -> None:
    node = ServerNode.parse("10.0.0.1:80", tag)
    assert (node.weight, node.zone, node.partition) == (weight, zone, partition)
    assert node.tag == tag


def test_equal_addresses_with_other_tags_are_other_nodes() -> None:
    first, second = ServerNode.parse("10.0.0.1:80", "1"), ServerNode.parse("10.0.0.1:80", "2")
    assert first != second
    assert {first, second, ServerNode.parse("10.0.0.1:80", "1")} == {first, second}
    assert str(first) == "10.0.0.1:80 1"
    assert str(ServerNode.parse("[::1]:80")) == "[::1]:80"


def test_wrong_address_is_refused() -> None:
    with pytest.raises(AddressError):
        ServerNode.parse("10.0.0.1")


@pytest.mark.parametrize(
    ("weight", "text"),
    [(3.0, "3"), (0.5, "0.5"), (1e6, "1000000"), (1234567.0, "1234567"), (1e300, "1000000000")],
)
def test_text_of_a_weight_is_read_as_that_weight(weight: float, text: str) -> None:
    assert weight_text(weight) == text
    assert ServerNode.parse("10.0.0.1:80", text).weight == min(weight, 1e9)


def test_text_of_a_tiny_weight_is_a_weight() -> None:
    assert ServerNode.parse("10.0.0.1:80", weight_text(1e-300)).weight == 1e-6
