from __future__ import annotations

import contextlib
import errno
import fcntl
import gc
import os
import queue
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import PyBrpcError
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.listening import socket_file
from pybrpc.transport.listening.acceptor import Acceptor, ListenError
from pybrpc.transport.listening.listen import listen
from pybrpc.transport.runtime import Runtime
from pybrpc.transport.socket.peer_address import remote_side_of
from tests.fakes.threads import WAIT_S, in_threads

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")


@pytest.fixture
def path(unix_path: Path) -> Path:
    return unix_path


@pytest.fixture
def endpoint(path: Path) -> Endpoint:
    return Endpoint.parse(f"unix:{path}")


class Listening:
    """An acceptor on a dispatcher of its own; what it accepts is closed at the end."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.accepted: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        self.dispatcher = EpollDispatcher("test-acceptor")
        self.acceptor = Acceptor(endpoint, self.dispatcher, self.accepted.put, Runtime())
        self.acceptor.start()

    def close(self) -> None:
        self.acceptor.close()
        self.dispatcher.close()
        while not self.accepted.empty():
            self.accepted.get().close()


@contextlib.contextmanager
def listening(endpoint: Endpoint) -> Iterator[Listening]:
    it = Listening(endpoint)
    try:
        yield it
    finally:
        it.close()


def connect(path: Path | str | bytes) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(WAIT_S)
    try:
        sock.connect(path if isinstance(path, bytes) else str(path))
    except BaseException:
        sock.close()
        raise
    return sock


def make_stale(path: Path) -> None:
    """The file that a killed server leaves."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


def error_of(endpoint: Endpoint) -> ListenError:
    """Why nobody can listen there."""
    with pytest.raises(ListenError, match=f"Fail to listen on {endpoint}: ") as caught:
        listen(endpoint)
    assert isinstance(caught.value, PyBrpcError)
    return caught.value


def test_accepts_and_removes_its_file(path: Path, endpoint: Endpoint) -> None:
    with listening(endpoint) as it:
        assert it.acceptor.endpoint == endpoint
        assert f"on unix:{path}, " in repr(it.acceptor)
        with connect(path) as client, it.accepted.get(timeout=WAIT_S) as served:
            client.sendall(b"ping")
            served.setblocking(True)
            assert served.recv(4) == b"ping"
    assert not path.exists()


@on_linux
def test_peer_of_a_unix_socket_is_named_by_its_process(path: Path, endpoint: Endpoint) -> None:
    with listening(endpoint) as it:
        with connect(path) as client, it.accepted.get(timeout=WAIT_S) as served:
            text = f"unix:(pid {os.getpid()}, uid {os.getuid()})"
            assert str(remote_side_of(served)) == text
            assert remote_side_of(client) == endpoint


def test_unconnected_socket_has_no_peer() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        assert remote_side_of(sock) is None


@on_linux
def test_abstract_name_needs_no_file() -> None:
    name = f"pybrpc-test-{os.getpid()}"
    endpoint = Endpoint.parse(f"unix:@{name}")
    with listening(endpoint) as it:
        assert it.acceptor.endpoint == endpoint
        with connect(b"\0" + name.encode()), it.accepted.get(timeout=WAIT_S) as served:
            assert Endpoint.from_sockaddr(served.getsockname()) == endpoint
        assert error_of(endpoint).errno == errno.EADDRINUSE
    with listening(endpoint):
        pass
    assert not os.path.exists(f"@{name}")


def test_relative_path_is_found_again_after_chdir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with listening(Endpoint.parse("unix:sock")) as it:
        assert str(it.acceptor.endpoint) == "unix:sock"
        with connect("sock"):
            pass
        monkeypatch.chdir("/")
    assert list(tmp_path.iterdir()) == []


# --- what is there already ---


def test_file_of_a_dead_server_is_replaced(path: Path, endpoint: Endpoint) -> None:
    make_stale(path)
    with listening(endpoint), connect(path):
        pass
    assert not path.exists()


def test_living_server_is_left_alone(path: Path, endpoint: Endpoint) -> None:
    with listening(endpoint):
        error = error_of(endpoint)
        assert error.errno == errno.EADDRINUSE
        assert "a server listens at this path" in str(error)
        with connect(path):
            pass


def test_living_server_that_is_busy_is_left_alone(path: Path, endpoint: Endpoint) -> None:
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        busy.listen(0)
        with connect(path):
            assert "a server listens at this path" in str(error_of(endpoint))
        assert path.exists()


def test_living_socket_of_another_kind_is_left_alone(path: Path, endpoint: Endpoint) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        assert "a server may listen at this path" in str(error_of(endpoint))
        assert path.exists()


@pytest.mark.parametrize("kind", ["file", "directory", "dangling link", "link to a dead socket"])
def test_file_that_is_no_socket_is_left_alone(path: Path, endpoint: Endpoint, kind: str) -> None:
    other = path.with_name("other")
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(other)
        if kind == "link to a dead socket":
            make_stale(other)
    error = error_of(endpoint)
    assert error.errno == errno.EADDRINUSE
    assert "not a socket has this path; remove it or choose another" in str(error)
    assert path.is_symlink() or path.exists()


def test_listen_in_a_missing_directory_fails(path: Path) -> None:
    error = error_of(Endpoint.parse(f"unix:{path}/sock"))
    assert error.errno == errno.ENOENT


def test_unix_socket_without_a_path() -> None:
    error = error_of(Endpoint("unix:", 0))
    assert "without a path" in str(error)


def test_of_servers_that_start_at_once_one_gets_the_path(path: Path, endpoint: Endpoint) -> None:
    winners: list[socket.socket] = []
    errors: list[int | None] = []

    def start(index: int) -> None:
        try:
            winners.append(listen(endpoint)[0])
        except ListenError as error:
            errors.append(error.errno)

    for _ in range(30):
        make_stale(path)
        in_threads(8, start)
        (winner,) = winners
        with connect(path) as client, winner.accept()[0]:
            client.sendall(b"the winner's")
        winner.close()
        path.unlink()
        winners.clear()
    assert errors == [errno.EADDRINUSE] * 30 * 7


def test_lock_of_a_directory_that_is_never_released_stops_nobody(
    path: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_file, "LOCK_TRIES", 3)
    make_stale(path)
    fd = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        with listening(endpoint), connect(path):
            pass
    finally:
        os.close(fd)


# --- whose file it is ---


def test_file_of_another_server_is_left_alone(path: Path, endpoint: Endpoint) -> None:
    with listening(endpoint) as first:
        path.unlink()
        with listening(endpoint), connect(path):
            first.close()
            with connect(path):
                pass
    assert not path.exists()


def test_file_that_is_gone_is_no_trouble(path: Path, endpoint: Endpoint) -> None:
    with listening(endpoint):
        path.unlink()


def test_close_after_the_dispatcher_removes_the_file(path: Path, endpoint: Endpoint) -> None:
    it = Listening(endpoint)
    it.dispatcher.close()
    it.acceptor.close()
    assert not path.exists()


def test_file_is_removed_when_its_own_process_abandons_the_acceptor(
    path: Path, endpoint: Endpoint
) -> None:
    with listening(endpoint) as it:
        it.acceptor.abandon()
        assert not path.exists()


def test_collected_acceptor_leaves_no_file(path: Path, endpoint: Endpoint) -> None:
    dispatcher = EpollDispatcher("test-acceptor")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of the descriptor
        Acceptor(endpoint, dispatcher, socket.socket.close, Runtime())
        gc.collect()
    assert not path.exists()
    dispatcher.close()


FORGETFUL = """
import sys
import pybrpc

server = pybrpc.Server()
print(server.start(sys.argv[1]), flush=True)
sys.exit(3)
"""


@pytest.mark.slow
def test_process_that_exits_without_stopping_leaves_no_file(path: Path, endpoint: Endpoint) -> None:
    command = [sys.executable, "-c", FORGETFUL, str(endpoint)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(command, stdout=subprocess.PIPE, env=environment, timeout=60)
    assert (ended.returncode, ended.stdout) == (3, f"{endpoint}\n".encode())
    assert not path.exists()


def in_child(function: Callable[[], object]) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        try:
            function()
        finally:
            os._exit(0)
    return os.waitpid(pid, 0)[1]


@pytest.mark.parametrize("ends", ["abandon", "finalizer"])
def test_forked_child_leaves_the_file_to_its_parent(
    path: Path, endpoint: Endpoint, ends: str
) -> None:
    with listening(endpoint) as it:
        file = it.acceptor._file
        assert file is not None
        in_child(it.acceptor.abandon if ends == "abandon" else file.remove)
        with connect(path), it.accepted.get(timeout=WAIT_S):
            pass
    assert not path.exists()


def test_acceptor_closes_in_a_turn(path: Path, endpoint: Endpoint) -> None:
    over = threading.Event()
    with listening(endpoint) as it:
        it.dispatcher.post(lambda: (it.acceptor.close(), over.set()))
        assert over.wait(WAIT_S)
        assert not path.exists()
        with pytest.raises(FileNotFoundError):
            connect(path)
