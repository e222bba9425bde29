"""Sockets that another program has opened, and passed to this process: systemd, or any launcher.

systemd says in the environment which descriptors it has passed (sd_listen_fds(3)):

    LISTEN_PID      the process for which they are
    LISTEN_FDS      how many they are; the first is descriptor 3
    LISTEN_FDNAMES  their names, with colons between them (FileDescriptorName= of a .socket unit)

The address "fd://" means all of them, "fd://web" those with the name "web", and "fd://3" descriptor
3, which needs no such environment.

A descriptor stays open as long as this process runs, and each start of a server listens on a copy
of it. So connections wait in the queue of the socket while a server is started again, in this
process or, if the other program has the socket too, in the next one.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import socket as _socket
import threading

from pybrpc.errors import AddressError, ListenError

SCHEME = "fd://"
FIRST_FD = 3
VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")

_lock = threading.Lock()
_taken: tuple[PassedSocket, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class PassedSocket:
    """A descriptor of this process, which should be a socket."""

    fd: int
    name: str = ""

    def open(self) -> _socket.socket:
        """A copy, which children of this process don't inherit. ListenError if it is no socket on
        which a server could accept connections."""
        try:
            fd = os.dup(self.fd)
        except OSError as error:
            raise self._error(errno.EBADF, "this process has no such descriptor") from error
        try:
            sock = _socket.socket(fileno=fd)
        except OSError as error:
            os.close(fd)
            raise self._error(errno.ENOTSOCK, "the descriptor is no socket") from error
        try:
            if reason := _why_unusable(sock):
                raise self._error(errno.EINVAL, reason)
        except BaseException:
            sock.close()
            raise
        return sock

    def _error(self, code: int, reason: str) -> ListenError:
        named = f" ({self.name})" if self.name else ""
        return ListenError(code, f"Fail to listen on {SCHEME}{self.fd}{named}: {reason}")


def is_passed(address: object) -> bool:
    """Whether `address` is a text that names passed sockets."""
    return isinstance(address, str) and address.strip().startswith(SCHEME)


def passed_sockets(address: str) -> tuple[PassedSocket, ...]:
    """The sockets that an address such as "fd://web" means; one at least.

    The first call takes what the environment says, and removes it there, so that no child believes
    that it is meant. AddressError for a text that makes no sense; ListenError if no such socket was
    passed to this process.
    """
    wanted = address.strip().removeprefix(SCHEME)
    if ":" in wanted or "/" in wanted:
        raise AddressError(
            f'address {address!r} is no descriptor: write "fd://3", "fd://NAME", or "fd://" for '
            "all that systemd has passed"
        )
    if wanted.isascii() and wanted.isdigit() and len(wanted) < 10:
        return (_with_number(int(wanted)),)
    passed = _take(address)
    found = tuple(each for each in passed if wanted in ("", each.name))
    if not found:
        names = ", ".join(sorted({each.name for each in passed}))
        raise ListenError(
            errno.ENOENT,
            f"Fail to listen on {address}: the passed sockets have other names: {names}",
        )
    return found


def are_sockets_passed() -> bool:
    """Whether the environment says that sockets were passed to this process."""
    return os.environ.get("LISTEN_PID") == str(os.getpid())


def _with_number(fd: int) -> PassedSocket:
    if are_sockets_passed():
        for each in _take(f"{SCHEME}{fd}"):
            if each.fd == fd:
                return each
    found = PassedSocket(fd)
    _keep_from_children(found)
    return found


def _take(address: str) -> tuple[PassedSocket, ...]:
    """All sockets that were passed to this process. ListenError if there are none."""
    global _taken
    with _lock:
        if are_sockets_passed():
            found = _read_environment(address)
            for each in found:
                _keep_from_children(each)
            for name in VARIABLES:
                os.environ.pop(name, None)
            _taken = found
        if _taken:
            return _taken
        pid, count = (os.environ.get(name) for name in VARIABLES[:2])
    if pid is None or count is None:
        reason = "LISTEN_PID and LISTEN_FDS are not set, by which systemd passes sockets"
    else:
        reason = (
            f"the sockets are for process {pid:.20s} (LISTEN_PID), and this one is {os.getpid()}: "
            "a shell that starts it has to use exec"
        )
    raise ListenError(errno.ENOENT, f"Fail to listen on {address}: {reason}")


def _read_environment(address: str) -> tuple[PassedSocket, ...]:
    count, listed = os.environ.get("LISTEN_FDS", ""), os.environ.get("LISTEN_FDNAMES")
    if not (count.isascii() and count.isdigit() and len(count) < 6 and int(count) > 0):
        reason = f"LISTEN_FDS is {count[:40]!r}, and no number of sockets"
        raise ListenError(errno.EINVAL, f"Fail to listen on {address}: {reason}")
    names = [""] * int(count) if listed is None else listed.split(":")
    if len(names) != int(count):
        reason = f"LISTEN_FDNAMES has {len(names)} names for {count} sockets"
        raise ListenError(errno.EINVAL, f"Fail to listen on {address}: {reason}")
    return tuple(PassedSocket(FIRST_FD + place, name) for place, name in enumerate(names))


def _keep_from_children(passed: PassedSocket) -> None:
    try:
        os.set_inheritable(passed.fd, False)
    except OSError as error:
        raise passed._error(errno.EBADF, "this process has no such descriptor") from error


def _why_unusable(sock: _socket.socket) -> str:
    """Why no server can listen on it, as the end of a sentence; "" if one can."""
    families = (_socket.AF_INET, _socket.AF_INET6, _socket.AF_UNIX)
    if sock.family not in families or sock.type != _socket.SOCK_STREAM:
        return "the socket is none of TCP and no stream of Unix (ListenStream=)"
    try:
        sock.getpeername()
    except OSError:
        pass
    else:
        return "the socket is a connection; a .socket unit needs Accept=no"
    where = sock.getsockname()
    is_bound = bool(where[1]) if isinstance(where, tuple) else bool(where)
    return "" if is_bound else "the socket is not bound to an address"
