from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.built_in import framed_protocols
from pybrpc.protocols.http1.http_protocol import HTTP
from pybrpc.protocols.hulu import HULU_PBRPC
from pybrpc.protocols.registry import (
    all_protocols,
    protocol_named,
    register_protocol,
    unregister_protocol,
)
from pybrpc.protocols.sofa import SOFA_PBRPC
from tests.peers.line_protocols import JSON_LINES, JsonLines


def test_protocol_is_found_by_the_name_that_brpc_has_for_it() -> None:
    names = ("baidu_std", "hulu_pbrpc", "sofa_pbrpc")
    assert (
        tuple(map(protocol_named, names))
        == (BAIDU_STD, HULU_PBRPC, SOFA_PBRPC)
        == framed_protocols()
    )


def test_unknown_name_of_a_protocol_is_refused_with_a_list_of_the_known_ones() -> None:
    text = "unknown protocol 'ftp'; known: baidu_std, hulu_pbrpc, sofa_pbrpc, http"
    with pytest.raises(ValueError, match=f"^{text}$"):
        protocol_named("ftp")
    with pytest.raises(TypeError, match='protocol must be a name such as "baidu_std", not 3'):
        protocol_named(3)  # type: ignore[arg-type]


@pytest.fixture
def json_lines() -> Iterator[None]:
    register_protocol(JSON_LINES)
    yield
    unregister_protocol("json_lines")


@pytest.mark.usefixtures("json_lines")
def test_registered_protocol_is_known_by_its_name() -> None:
    assert protocol_named("json_lines") is JSON_LINES
    assert all_protocols() == (*framed_protocols(), JSON_LINES, HTTP)


@pytest.mark.usefixtures("json_lines")
@pytest.mark.parametrize("protocol", [JSON_LINES, BAIDU_STD])
def test_name_that_is_taken_is_refused(protocol: Any) -> None:
    with pytest.raises(ValueError, match=f"there is a protocol named '{protocol.name}' already"):
        register_protocol(protocol)


def test_protocol_that_is_not_registered_can_not_be_unregistered() -> None:
    for name in ("json_lines", "baidu_std"):
        with pytest.raises(ValueError, match=f"no protocol named '{name}' was registered"):
            unregister_protocol(name)


class NoName:
    name = 3


class TwoWords(JsonLines):
    name = "two words"  # type: ignore[assignment]


class NoParse:
    name = "no_parse"


class NoFastPacking:
    name = "slow"
    parse = pack_request = pack_response = bytes_wanted = staticmethod(len)


class NoDetection:
    name = kind = "blind"
    new_session = staticmethod(len)


class OwnKind(NoDetection):
    name = kind = "own"
    detect = staticmethod(len)


@pytest.mark.parametrize(
    ("protocol", "error", "text"),
    [
        (JsonLines, TypeError, "a protocol must be an object, not the class JsonLines"),
        (NoName(), TypeError, "a protocol must have a name, a str"),
        (TwoWords(), ValueError, "the name of a protocol must be one word, not 'two words'"),
        (NoParse(), TypeError, "the protocol 'no_parse' has no method parse\\(\\)$"),
        (
            NoFastPacking(),
            TypeError,
            "'slow' has no method pack_fast_request\\(\\); RpcProtocolBase has one",
        ),
        (NoDetection(), TypeError, "the protocol 'blind' has no method detect\\(\\)"),
    ],
)
def test_object_that_is_no_protocol_is_refused(
    protocol: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        register_protocol(protocol)


def test_protocol_with_a_session_of_its_own_needs_no_frames() -> None:
    register_protocol(OwnKind())  # type: ignore[arg-type]
    unregister_protocol("own")


def test_one_of_many_threads_registers_a_name() -> None:
    refused: list[ValueError] = []

    def register() -> None:
        try:
            register_protocol(JsonLines())
        except ValueError as error:
            refused.append(error)

    threads = [threading.Thread(target=register) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    unregister_protocol("json_lines")
    assert len(refused) == 7
