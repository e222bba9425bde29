"""etcd:// with a real etcd: changes, leases, compaction, restarts, a server that is stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pybrpc.errors import AddressError
from pybrpc.naming import watch, watched
from tests.peers.etcd_server import EtcdServer
from tests.peers.http_stand_in import Answer, HttpStandIn, Request, eventually
from tests.peers.naming_watchers import RecordingWatcher, watching

pytestmark = pytest.mark.program("etcd")
QUICK = "retry=0.01&max_retry=0.05&confirm_interval=0.01"


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """Shared: each test has a prefix of its own."""
    with EtcdServer(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    return request.node.name


def test_keys_are_servers_and_changes_come_at_once(etcd: EtcdServer, prefix: str) -> None:
    etcd.put(f"{prefix}/10.0.0.1:80", "3 zone=a")
    etcd.put(f"{prefix}/group/10.0.0.2:80")
    etcd.put(f"{prefix}-other/10.0.0.9:80")
    with watching(f"etcd://{etcd.address}/{prefix}?{QUICK}") as watcher:
        watcher.wait_list("10.0.0.1:80 3 zone=a", "10.0.0.2:80")
        etcd.put(f"{prefix}/any", '{"address": "10.0.0.3:80", "weight": 2}')
        watcher.wait_list("10.0.0.1:80 3 zone=a", "10.0.0.2:80", "10.0.0.3:80 weight=2")
        etcd.delete(f"{prefix}/group/10.0.0.2:80")
        watcher.wait_list("10.0.0.1:80 3 zone=a", "10.0.0.3:80 weight=2")
        etcd.put(f"{prefix}/10.0.0.1:80", "5")
        watcher.wait_list("10.0.0.1:80 5", "10.0.0.3:80 weight=2")
        assert watcher.errors == []


def test_key_whose_lease_ends_leaves_the_list(etcd: EtcdServer, prefix: str) -> None:
    lease = int(etcd.call("lease/grant", TTL="3600")["ID"])
    etcd.put(f"{prefix}/10.0.0.1:80", lease=lease)
    etcd.put(f"{prefix}/10.0.0.2:80")
    with watching(f"etcd://{etcd.address}/{prefix}?{QUICK}") as watcher:
        watcher.wait_list("10.0.0.1:80", "10.0.0.2:80")
        etcd.call("lease/revoke", ID=str(lease))
        watcher.wait_list("10.0.0.2:80")


def test_wait_without_a_change_reads_all_again(etcd: EtcdServer, prefix: str) -> None:
    etcd.put(f"{prefix}/10.0.0.1:80")
    url = f"etcd://{etcd.address}/{prefix}?wait=0.02&{QUICK}"
    with watching(url) as watcher:
        watcher.wait_list("10.0.0.1:80")
        checked_s = watched()[url].checked_s
        eventually(lambda: watched()[url].checked_s > checked_s)
        assert len(watcher.lists) == 1
        assert watcher.errors == []


def test_compacted_revision_is_not_waited_for(
    etcd: EtcdServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch asks for a revision that etcd no longer has: it says so, and all is read again."""
    from pybrpc.naming.services.etcd_naming import EtcdApi

    asked: list[int] = []
    wait = EtcdApi.wait_for_change

    def wait_for_old(self: EtcdApi, key: bytes, revision: int, timeout_s: float) -> bool:
        asked.append(revision)
        if len(asked) > 1:
            return wait(self, key, revision, timeout_s)
        etcd.put(f"{prefix}/10.0.0.2:80")
        etcd.put(f"{prefix}/10.0.0.3:80")
        etcd.compact()
        return wait(self, key, revision, timeout_s)

    monkeypatch.setattr(EtcdApi, "wait_for_change", wait_for_old)
    etcd.put(f"{prefix}/10.0.0.1:80")
    with watching(f"etcd://{etcd.address}/{prefix}?{QUICK}") as watcher:
        watcher.wait_list("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
        eventually(lambda: len(asked) == 2)
        etcd.delete(f"{prefix}/10.0.0.1:80")
        watcher.wait_list("10.0.0.2:80", "10.0.0.3:80")
        assert watcher.errors == []


def test_deleted_prefix_is_confirmed_before_it_counts(etcd: EtcdServer, prefix: str) -> None:
    etcd.put(f"{prefix}/10.0.0.1:80")
    with watching(f"etcd://{etcd.address}/{prefix}?{QUICK}") as watcher:
        watcher.wait_list("10.0.0.1:80")
        etcd.delete(f"{prefix}/10.0.0.1:80")
        watcher.wait_list()
        assert [str(error)[-8:] for error in watcher.errors] == ["(1 of 3)", "(2 of 3)"]


def test_host_that_is_not_there_is_skipped(etcd: EtcdServer, prefix: str) -> None:
    etcd.put(f"{prefix}/10.0.0.1:80")
    with watching(f"etcd://127.0.0.1:1,{etcd.address}/{prefix}?{QUICK}") as watcher:
        watcher.wait_list("10.0.0.1:80")
        etcd.put(f"{prefix}/10.0.0.2:80")
        watcher.wait_list("10.0.0.1:80", "10.0.0.2:80")


def test_killed_etcd_keeps_the_list_until_it_is_back(tmp_path: Path) -> None:
    with EtcdServer(tmp_path) as etcd:
        etcd.put("x/10.0.0.1:80")
        with watching(f"etcd://{etcd.address}/x?{QUICK}") as watcher:
            watcher.wait_list("10.0.0.1:80")
            etcd.kill()
            watcher.wait_error()
            etcd.start()
            etcd.put("x/10.0.0.2:80")
            watcher.wait_list("10.0.0.1:80", "10.0.0.2:80")
            assert len(watcher.lists) == 2
            etcd.wipe()
            etcd.start()
            etcd.put("x/10.0.0.3:80")
            watcher.wait_list("10.0.0.3:80")


def test_etcd_that_is_stopped_is_noticed(tmp_path: Path) -> None:
    """It accepts connections and says nothing, as a machine that swaps does."""
    with EtcdServer(tmp_path) as etcd:
        etcd.put("x/10.0.0.1:80")
        with watching(f"etcd://{etcd.address}/x?wait=0.1&timeout=0.2&{QUICK}") as watcher:
            watcher.wait_list("10.0.0.1:80")
            etcd.pause()
            watcher.wait_error("timed out")
            assert len(watcher.lists) == 1
            etcd.go_on()
            etcd.put("x/10.0.0.2:80")
            watcher.wait_list("10.0.0.1:80", "10.0.0.2:80")


def test_user_logs_in_and_a_token_that_ended_is_replaced(tmp_path: Path) -> None:
    with EtcdServer(tmp_path) as etcd:
        etcd.put("x/10.0.0.1:80")
        etcd.call("auth/user/add", name="root", password="hunter2")
        etcd.call("auth/user/grant", user="root", role="root")
        etcd.call("auth/enable")
        with watching(f"etcd://{etcd.address}/x?{QUICK}") as watcher:
            watcher.wait_error("status")
        with watching(f"etcd://root:wrong@{etcd.address}/x?{QUICK}") as watcher:
            assert "wrong" not in str(watcher.wait_error("status"))
        url = f"etcd://root:hunter2@{etcd.address}/x?wait=0.05&{QUICK}"
        with watching(url) as watcher:
            watcher.wait_list("10.0.0.1:80")
            etcd.kill()
            etcd.start()
            token = etcd.call("auth/authenticate", name="root", password="hunter2")["token"]
            etcd.call("kv/put", token, key=b"x/10.0.0.2:80", value=b"")
            watcher.wait_list("10.0.0.1:80", "10.0.0.2:80")


def test_token_that_is_refused_leads_to_a_new_login() -> None:
    class Etcd(HttpStandIn):
        logins = 0

        def respond(self, request: Request) -> Answer:
            if request.path == "/v3/auth/authenticate":
                self.logins += 1
                return Answer({"token": f"token-{self.logins}"})
            if request.headers["Authorization"] != "token-2":
                return Answer({"error": "invalid auth token", "code": 16}, 401)
            return Answer(GOOD if request.path == "/v3/kv/range" else b"")

    with Etcd() as server:
        with watching(f"etcd://me:secret@{server.address}/x?{QUICK}") as watcher:
            watcher.wait_list("a:1")
            assert server.logins == 2
            assert watcher.errors == []


class Scripted(HttpStandIn):
    """Gives the next of some answers to each range."""

    def __init__(self, *answers: bytes) -> None:
        super().__init__()
        self._answers = list(answers)

    def respond(self, request: Request) -> Answer:
        if request.path.endswith("watch"):
            return Answer(b"")
        return Answer(self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])


GOOD = b'{"header": {"revision": "5"}, "kvs": [{"key": "eC9hOjE="}]}'


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"[]", "no 'header' that is a dict"),
        (b'{"header": {"revision": []}}', "no 'revision' that is a whole number"),
        (b'{"header": {"revision": "5"}, "kvs": [{"key": "?"}]}', "no base64"),
        (b'{"header": {"revision": "5"}, "kvs": [5]}', "no server can be used"),
        (b"{", "no JSON"),
    ],
)
def test_wrong_answers_keep_the_list(answer: bytes, text: str) -> None:
    with Scripted(GOOD, answer, GOOD) as server:
        with watching(f"etcd://{server.address}/x?{QUICK}") as watcher:
            watcher.wait_error(text)
            assert watcher.lists == [["a:1"]]


@pytest.mark.parametrize("rest", ["", "h", "h/", "/x", "h/x?wait=0", "h/x?colour=red", "me@h/x"])
def test_wrong_urls_are_refused(rest: str) -> None:
    with pytest.raises(AddressError):
        watch(f"etcd://{rest}", RecordingWatcher())
