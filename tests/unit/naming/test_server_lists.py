"""Lines of lists, what is left out of them, and their limits."""

from __future__ import annotations

import itertools

import pytest

from pybrpc.errors import AddressError, NamingError
from pybrpc.naming import ServerNode, server_lists
from pybrpc.naming.server_lists import ServerListBuilder, checked_servers, split_line


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("10.0.0.1:80", ("10.0.0.1:80", "")),
        ("  10.0.0.1:80\t 3 zone=a  ", ("10.0.0.1:80", "3 zone=a")),
        ("10.0.0.1:80 3 # the big one", ("10.0.0.1:80", "3")),
        ("10.0.0.1:80 #comment", ("10.0.0.1:80", "")),
        ("10.0.0.1:80#x", ("10.0.0.1:80#x", "")),
        ("10.0.0.1:80 3\r", ("10.0.0.1:80", "3")),
        ("", None),
        ("   ", None),
        ("# all of it", None),
        ("  # all of it", None),
    ],
)
def test_line_is_an_address_and_a_tag(line: str, found: tuple[str, str] | None) -> None:
    assert split_line(line) == found


def built(*lines: str) -> list[str]:
    builder = ServerListBuilder("test")
    builder.add_lines(lines)
    return [str(server) for server in builder.build()]


def test_malformed_lines_are_left_out() -> None:
    assert built("a:1", "a:", "# x", "b:99999", "b:2 tag", "c") == ["a:1", "b:2 tag"]


def test_list_of_malformed_lines_only_is_an_error_not_an_empty_list() -> None:
    with pytest.raises(NamingError, match=r"test: no server can be used: address 'a:'"):
        built("a:", "b")
    assert built() == []
    assert built("# nothing") == []


@pytest.mark.parametrize(
    ("tag", "weight", "zone", "wanted"),
    [
        ("", 1.0, "", ""),
        ("", 2.5, "z", "weight=2.5 zone=z"),
        ("3", 7.0, "z", "3 zone=z"),
        ("", 2_000_000.0, "", "weight=2000000"),
        ("", 1e-5, "", "weight=0.00001"),
        ("zone=y", 7.0, "z", "zone=y weight=7"),
        ("main", 1.0, "two words", "main"),
        ("", 0.0, "", ""),
    ],
)
def test_weight_and_zone_become_words_unless_the_tag_has_them(
    tag: str, weight: float, zone: str, wanted: str
) -> None:
    builder = ServerListBuilder("test")
    builder.add_host("::1", 80, tag, weight, zone)
    assert builder.build() == [ServerNode.parse("[::1]:80", wanted)]


def test_list_that_is_too_long_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_lists, "MAX_SERVERS", 3)
    assert len(built("a:1", "a:2", "a:3")) == 3
    with pytest.raises(NamingError, match="more than 3 servers"):
        built("a:1", "a:2", "a:3", "a:4")
    with pytest.raises(NamingError, match="more than 3 servers"):
        built("bad", "bad", "bad", "bad")
    with pytest.raises(NamingError, match="more than 3 servers"):
        checked_servers(itertools.repeat("a:1"))


def test_servers_of_an_own_service_are_checked() -> None:
    node = ServerNode.parse("b:2")
    found = checked_servers(["a:1 3", node, "a:1 3", "a:1 4"])
    assert [str(each) for each in found] == ["a:1 3", "b:2", "a:1 4"]


@pytest.mark.parametrize("found", [5, None, "a:1", b"a:1", ["a:1", 5], [""], ["# x"]])
def test_wrong_lists_of_an_own_service_are_errors(found: object) -> None:
    with pytest.raises(NamingError):
        checked_servers(found)  # type: ignore[arg-type]


def test_wrong_address_of_an_own_service_is_an_error() -> None:
    with pytest.raises(AddressError):
        checked_servers(["a:1", "a"])
