"""URLs of naming services: schemes, options, hosts, and what is never shown."""

from __future__ import annotations

import pytest

from pybrpc.errors import AddressError
from pybrpc.naming.naming_url import NamingUrl, parse_hosts, split_user
from pybrpc.naming.url_scheme import is_naming_url


@pytest.mark.parametrize(
    ("text", "scheme", "rest"),
    [
        ("list://a:1,b:2", "list", "a:1,b:2"),
        ("fIlE:///tmp/x", "file", "/tmp/x"),
        ("zk://h/p", "zookeeper", "h/p"),
        ("my+own-1.x://a://b?c", "my+own-1.x", "a://b?c"),
        (" list://", "list", ""),
    ],
)
def test_url_is_a_scheme_and_the_rest_as_it_is(text: str, scheme: str, rest: str) -> None:
    assert NamingUrl.parse(text) == NamingUrl(scheme, rest)
    assert is_naming_url(text)


@pytest.mark.parametrize("text", ["127.0.0.1:80", "://x", "1x://y", "a b://c", "x" * 32 + "://y"])
def test_text_without_a_scheme_is_refused(text: str) -> None:
    assert not is_naming_url(text)
    with pytest.raises(AddressError, match="is no URL of a naming service"):
        NamingUrl.parse(text)


@pytest.mark.parametrize("value", [None, 5, b"list://a:1"])
def test_what_is_no_string_is_refused(value: object) -> None:
    assert not is_naming_url(value)
    with pytest.raises(AddressError, match="is a string like"):
        NamingUrl.parse(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "nacos://me:hunter2@10.0.0.1:8848/?serviceName=x",
        "consul://h/x?token=hunter2",
        "etcd://h/x?ca_password=hunter2&wait=1",
        "my://h/x?Secret=hunter2",
    ],
)
def test_secrets_are_never_shown(text: str) -> None:
    url = NamingUrl.parse(text)
    assert "hunter2" not in str(url)
    assert "hunter2" not in str(url.error("wrong"))
    assert "..." in str(url)


def test_refused_text_is_shown_without_its_password() -> None:
    with pytest.raises(AddressError) as caught:
        NamingUrl.parse("no scheme, me:hunter2@host")
    assert "hunter2" not in str(caught.value)


def options_of(query: str) -> tuple[NamingUrl, object]:
    url = NamingUrl.parse(f"etcd://h/p?{query}")
    return url, url.split()[1]


def test_options_are_taken_by_name() -> None:
    before, options = NamingUrl.parse("x://h/p?a=1.5&b=7&c=true&d=&e=%2Fx&f=0").split()
    assert before == "h/p"
    assert options.seconds("a", 1.0) == 1.5
    assert options.count("b", 1, 0, 10) == 7
    assert options.flag("c") is True
    assert options.flag("f", default=True) is False
    assert options.text("d", "default") == ""
    assert options.required_text("e") == "/x"
    options.check_all_known()
    assert options.seconds("a", 2.0) == 2.0
    assert options.seconds_or_none("a") is None
    assert options.count("b", 3, 0, 10) == 3
    assert options.flag("c", default=True) is True


@pytest.mark.parametrize(
    ("query", "take"),
    [
        ("a=x", lambda options: options.seconds("a", 1.0)),
        ("a=nan", lambda options: options.seconds("a", 1.0)),
        ("a=-1", lambda options: options.seconds("a", 1.0)),
        ("a=99999", lambda options: options.seconds_or_none("a")),
        ("a=11", lambda options: options.count("a", 1, 0, 10)),
        ("a=1.0", lambda options: options.count("a", 1, 0, 10)),
        ("a=maybe", lambda options: options.flag("a")),
        ("a=", lambda options: options.required_text("a")),
        ("b=1", lambda options: options.required_text("a")),
        ("b=1", lambda options: options.check_all_known()),
    ],
)
def test_wrong_options_are_refused(query: str, take: object) -> None:
    _, options = options_of(query)
    with pytest.raises(AddressError, match="etcd://h/p"):
        take(options)  # type: ignore[operator]


@pytest.mark.parametrize("query", ["a=1&a=2", "&".join(f"a{i}=1" for i in range(200))])
def test_options_that_are_given_twice_or_too_many_are_refused(query: str) -> None:
    with pytest.raises(AddressError):
        options_of(query)


def test_options_that_are_left_become_a_query_again() -> None:
    _, options = NamingUrl.parse("x://h?interval=1&file=a%26b&v=2").split()
    options.seconds("interval", 1.0)
    assert options.take_query() == "file=a%26b&v=2"
    options.check_all_known()


URL = NamingUrl("etcd", "x")


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("a:1,,b:2,", ["a:1", "b:2"]),
        (",a,,b,", ["a:80", "b:80"]),
        ("[::1],[::2]:5", ["[::1]:80", "[::2]:5"]),
        ("a, a:80", ["a:80"]),
    ],
)
def test_hosts_have_ports_and_empty_ones_are_skipped(text: str, hosts: list[str]) -> None:
    assert [str(host) for host in parse_hosts(URL, text, 80)] == hosts


@pytest.mark.parametrize("text", ["", ",", "a:", "a:0", "a:99999", "a:123a", "unix:/x"])
def test_wrong_hosts_are_refused(text: str) -> None:
    with pytest.raises(AddressError):
        parse_hosts(URL, text, 80)


def test_user_and_password_may_be_quoted() -> None:
    assert split_user(URL, "me:a%40b@h:1") == ("me", "a@b", "h:1")
    assert split_user(URL, "h:1") == ("", "", "h:1")
    with pytest.raises(AddressError, match="user:password@host"):
        split_user(URL, "me@h:1")
