"""http:// and https:// as names of servers: bRPC's domain naming."""

from __future__ import annotations

import pytest

from pybrpc.errors import AddressError
from pybrpc.naming import watch
from tests.peers.naming_watchers import RecordingWatcher, watching


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("http://localhost:1234", "127.0.0.1:1234"),
        ("http://localhost", "127.0.0.1:80"),
        ("http://localhost:1234/useless1/useless2", "127.0.0.1:1234"),
        ("http://localhost/useless1/useless2", "127.0.0.1:80"),
        ("https://localhost", "127.0.0.1:443"),
        ("http://10.0.0.1", "10.0.0.1:80"),
    ],
)
def test_port_has_a_default_and_the_path_means_nothing(url: str, server: str) -> None:
    with watching(url, server_filter=lambda node: ":" not in node.endpoint.host) as watcher:
        watcher.wait_list(server)


@pytest.mark.parametrize("rest", ["localhost:", "localhost:123a", "localhost:99999", "", "a,b"])
def test_invalid_port_is_refused(rest: str) -> None:
    with pytest.raises(AddressError):
        watch(f"http://{rest}", RecordingWatcher())


def test_name_that_is_not_there_is_an_error() -> None:
    with watching("http://does-not-exist.invalid?retry=0.01&max_retry=0.02") as watcher:
        watcher.wait_error("look-up of 'does-not-exist.invalid' failed")
        assert watcher.last is None
