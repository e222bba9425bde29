"""ServerCall: the memory that counts for a request until it is gone."""

from __future__ import annotations

import sys
from typing import Any, cast

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import StreamSettings
from pybrpc.server.calls.server_call import ServerCall, held_bytes, new_server_call
from pybrpc.server.calls.service_registry import ServiceRegistry
from tests.peers.raw_peer import SERVICE, request
from tests.peers.serving import EchoService, echo

pytestmark = pytest.mark.python_only


def call_of(**fields: Any) -> ServerCall:
    registry = ServiceRegistry()
    registry.add(SERVICE, EchoService(echo))
    entry = registry.entry_named(f"{SERVICE.full_name}.Echo")
    connection: Any = object()
    return new_server_call(cast(Any, connection), request(7, **fields), entry, 100.0)


def test_held_bytes_include_all_parts_of_a_request() -> None:
    bare = held_bytes(request(7, body=b""))
    assert held_bytes(request(7, body=bytes(100))) == bare + 100
    assert held_bytes(request(7, body=b"", attachment=IOBuf(bytes(50)))) == bare + 50
    assert held_bytes(request(7, body=b"", request_id="four")) >= bare + 4
    assert held_bytes(request(7, body=b"", user_fields={"k": "value"})) > bare + 6
    assert held_bytes(request(7, body=b"", credential=bytes(70))) == bare + 70
    assert held_bytes(request(7, body=b"", checksum_value=bytes(90))) == bare + 90
    ids = StreamSettings(1, extra_stream_ids=tuple(range(2**40, 2**40 + 1000)))
    assert held_bytes(request(7, body=b"", stream_settings=ids)) >= bare + 40_000


@pytest.mark.parametrize("letter", [0x78, 0xDC80, 0x1F600])
def test_text_counts_as_the_memory_that_python_takes_for_it(letter: int) -> None:
    """One, two or four bytes for each letter."""
    text = 1000 * chr(letter)
    bare = held_bytes(request(7, body=b""))
    assert held_bytes(request(7, body=b"", request_id=text)) >= bare + sys.getsizeof(text)
    fields = {text: text}
    assert held_bytes(request(7, body=b"", user_fields=fields)) >= bare + 2 * sys.getsizeof(text)


def test_call_keeps_nothing_of_its_request_that_nobody_looks_at() -> None:
    unused = call_of(credential=bytes(1000), checksum_value=bytes(1000))
    assert (unused.request.credential, unused.request.checksum_value) == (None, None)
    assert unused.size_bytes == call_of().size_bytes
    used = call_of(checksum_type=1, checksum_value=bytes(1000))
    assert used.request.checksum_value == bytes(1000)
    assert used.size_bytes == unused.size_bytes + 1000


def test_names_that_a_peer_has_chosen_count_for_a_generic_service() -> None:
    registry = ServiceRegistry()
    registry.add_generic(echo)
    entry, connection = registry.entry_named("*"), cast(Any, object())
    long = request(7, service="S" * 1000, method="M" * 2000)
    call = new_server_call(connection, long, entry, 100.0)
    assert call.size_bytes >= held_bytes(long) + 3000
