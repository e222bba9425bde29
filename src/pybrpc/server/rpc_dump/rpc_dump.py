"""RpcDump: the options by which a server samples requests into files."""

from __future__ import annotations

import dataclasses
import errno
import os
import stat
import weakref

from pybrpc.base.checked_options import checked_count, checked_flag, is_number, shown
from pybrpc.base.flag_values import FLAGS
from pybrpc.base.held_flag import HeldFlag

SAMPLING: weakref.WeakSet[object] = weakref.WeakSet()
"""The writers of the servers that run and have the option."""


def _refusal(value: bool) -> str:
    return "no server of this process has the option rpc_dump" if value and not SAMPLING else ""


ENABLE_RPC_DUMP = FLAGS.add(
    HeldFlag(
        "rpc_dump", "Sample requests into files, on servers that have the option rpc_dump", _refusal
    )
)
MIB = 1 << 20
MOST = 1 << 53


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RpcDump:
    """How a server samples requests into files: `Server(rpc_dump=RpcDump(directory="dump"))`.

    directory       where the files are, for the owner alone: made with mode 0700, and refused if
                    others may use it. Files are named requests.yyyymmdd_hhmmss_uuuuuu, mode 0600
    enabled         whether requests are sampled from the start; else while the flag rpc_dump is
                    set, on /flags or by `pybrpc dump`
    share           which part of the requests is sampled at random, above 0, up to 1
    per_second      requests that are sampled in a second, at most, on this server
    max_files       files of the directory; the oldest one is removed for a new one
    max_requests_in_one_file, max_file_bytes   after these a file is full; one request may exceed
                    the second
    max_waiting_bytes   bytes of requests that wait to be written; more are dropped, and counted in
                    a warning of "pybrpc.server"

    Requests of baidu_std that were admitted and open no stream are sampled, as they came: with
    attachment, compressed if they were; without credential, user fields and ids. TypeError,
    ValueError.
    """

    directory: str
    enabled: bool = True
    share: float = 1.0
    per_second: int = 1000
    max_files: int = 32
    max_requests_in_one_file: int = 1000
    max_file_bytes: int = 64 * MIB
    max_waiting_bytes: int = 16 * MIB

    def __post_init__(self) -> None:
        if not isinstance(self.directory, str | os.PathLike) or not str(self.directory):
            raise TypeError(f"directory must be a path, not {shown(self.directory)}")
        object.__setattr__(self, "directory", os.path.abspath(self.directory))
        checked_flag("enabled", self.enabled)
        if not isinstance(self.share, int | float) or not is_number(self.share):
            raise TypeError(f"share must be a number, not {shown(self.share)}")
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, not {self.share!r}")
        for name in (
            *("per_second", "max_files", "max_requests_in_one_file"),
            *("max_file_bytes", "max_waiting_bytes"),
        ):
            checked_count(name, getattr(self, name), 1, MOST)

    def is_on(self) -> bool:
        """Whether requests are sampled now."""
        return self.enabled or ENABLE_RPC_DUMP.current()

    def prepare(self) -> None:
        """Make the directory. OSError; PermissionError if others than the owner may use it."""
        os.makedirs(os.path.dirname(self.directory), exist_ok=True)
        try:
            os.mkdir(self.directory, 0o700)
        except FileExistsError:
            found = os.stat(self.directory)
            if not stat.S_ISDIR(found.st_mode):
                raise NotADirectoryError(
                    errno.ENOTDIR, "the directory of rpc_dump is a file", self.directory
                ) from None
            if found.st_uid != os.geteuid() or found.st_mode & 0o077:
                raise PermissionError(
                    f"the directory {self.directory} of rpc_dump must be for its owner alone: "
                    f"chmod 700 {self.directory}"
                ) from None


def checked_rpc_dump(value: object) -> RpcDump | None:
    """The option `rpc_dump` of a server: `None` for none, a path for the defaults. TypeError."""
    if value is None or isinstance(value, RpcDump):
        return value
    if isinstance(value, str | os.PathLike):
        return RpcDump(directory=os.fspath(value))
    raise TypeError(f"rpc_dump must be None, a path or a pybrpc.RpcDump, not {shown(value)}")
