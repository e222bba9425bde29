"""ErrorCode and Phase: what went wrong, and when. `pybrpc.errors` has both.

Codes: apache/brpc src/brpc/errno.proto; those below 1000 are errnos of the operating system.
"""

from __future__ import annotations

import enum
import errno
from typing import TYPE_CHECKING, Any


class _ErrorCodes(enum.EnumMeta):
    """The type of ErrorCode: it says where the codes are that ErrorCode does not have."""

    if not TYPE_CHECKING:  # or type checkers would take any name

        def __getattr__(cls, name: str) -> Any:
            members = cls.__dict__.get("_member_map_", {})
            if name in members:  # Python 3.11 finds them here
                return members[name]
            where = ""
            if isinstance(getattr(errno, name, None), int):
                where = f": {name} is of the errno module, errno.{name}"
            raise AttributeError(f"ErrorCode has no code {name!r}{where}", name=name, obj=cls)


class ErrorCode(enum.IntEnum, metaclass=_ErrorCodes):
    """bRPC's error codes. Any other errno of the operating system may appear as a plain int, such
    as `errno.EPERM`."""

    ENOSERVICE = 1001
    ENOMETHOD = 1002
    EREQUEST = 1003
    ERPCAUTH = 1004
    ETOOMANYFAILS = 1005
    EPCHANFINISH = 1006
    EBACKUPREQUEST = 1007
    ERPCTIMEDOUT = 1008
    EFAILEDSOCKET = 1009
    EHTTP = 1010
    EOVERCROWDED = 1011
    ERTMPPUBLISHABLE = 1012
    ERTMPCREATESTREAM = 1013
    EEOF = 1014
    EUNUSED = 1015
    ESSL = 1016
    EH2RUNOUTSTREAMS = 1017
    EREJECT = 1018
    EPROGREADTIMEOUT = 1019

    EINTERNAL = 2001
    ERESPONSE = 2002
    ELOGOFF = 2003
    ELIMIT = 2004
    ECLOSE = 2005
    EITP = 2006
    ESHUTDOWNWRITE = 2007

    ERDMA = 3001
    ERDMAMEM = 3002

    ECANCELED = errno.ECANCELED
    ECONNREFUSED = errno.ECONNREFUSED
    ECONNRESET = errno.ECONNRESET
    ECONNABORTED = errno.ECONNABORTED
    EPIPE = errno.EPIPE
    ETIMEDOUT = errno.ETIMEDOUT
    EHOSTUNREACH = errno.EHOSTUNREACH
    ENETUNREACH = errno.ENETUNREACH
    EHOSTDOWN = errno.EHOSTDOWN
    EINVAL = errno.EINVAL


class Phase(enum.StrEnum):
    """The phase of a call or a write in which it failed."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    HANDSHAKE = "handshake"
    QUEUED = "queued"
    """None of its bytes had left this process."""
    SENT = "sent"
    """Some of its bytes had been handed to the kernel."""
    WAITING = "waiting"
    """It had been written completely, and the response was awaited."""
    SERVER = "server"
    """The response arrived, and it is an error."""


NOTHING_LEFT = frozenset({Phase.RESOLVE, Phase.CONNECT, Phase.HANDSHAKE, Phase.QUEUED})
"""A request that failed in one of these phases has not left this process, not one byte of it."""


def error_name(code: int) -> str:
    """ "ERPCTIMEDOUT" for 1008, "ECONNRESET" for 104, "E4711" for an unknown number."""
    try:
        return ErrorCode(code).name
    except ValueError:
        return errno.errorcode.get(code, f"E{code}")
