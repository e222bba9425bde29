"""The protocol by which a process notifies systemd of its state: sd_notify(3).

NOTIFY_SOCKET in the environment is the path of a Unix socket, or "@name" in Linux's abstract
namespace. A state is one datagram of lines such as "READY=1". No library of systemd is needed.
"""

from __future__ import annotations

import os
import socket as _socket

from pybrpc.base.guard import SERVER
from pybrpc.base.limited_log import LimitedLog

_log = LimitedLog(SERVER)

_SHORTEST_WATCHDOG_S = 0.02
"""Two signs of life come in that many seconds, at most: more would keep the server busy."""


def is_systemd_listening() -> bool:
    """Whether there is a service manager that wants to be notified."""
    return bool(os.environ.get("NOTIFY_SOCKET"))


def sd_notify(*lines: str) -> bool:
    """Notify systemd of `lines`, such as "READY=1", in one datagram.

    Returns whether that is done: also if systemd wants no notices, or can't get them,
    which is logged. False: systemd has not read for a while, so try again later. Never blocks,
    never raises.
    """
    where = os.environ.get("NOTIFY_SOCKET", "")
    if not where:
        return True
    try:
        with _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto("\n".join(lines).encode(), _sockaddr_of(where))
    except BlockingIOError:
        return False
    except (OSError, ValueError) as error:
        _log.warn("systemd can't be notified of %s at NOTIFY_SOCKET=%s: %s", lines[0], where, error)
    return True


def watchdog_s() -> float | None:
    """Seconds within which systemd wants a sign of life from this process; `None` if it does not.

    That is WATCHDOG_USEC of the environment, if WATCHDOG_PID is this process or is not set. At
    least 0.02 seconds, whatever the environment says.
    """
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = os.environ.get("WATCHDOG_USEC", "")
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) > 0):
        return None
    return max(int(text) / 1e6, _SHORTEST_WATCHDOG_S)


def _sockaddr_of(where: str) -> str | bytes:
    if where.startswith("@"):
        return b"\0" + os.fsencode(where[1:])
    if where.startswith("/"):
        return where
    raise ValueError("it is neither a path nor an abstract name")
