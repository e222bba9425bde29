"""file://: servers that are written in a file, a line for each, as in bRPC."""

from __future__ import annotations

import os

from pybrpc.errors import NamingError
from pybrpc.naming.interfaces import MAX_ANSWER_BYTES, NamingService
from pybrpc.naming.naming_url import NamingUrl
from pybrpc.naming.server_lists import ServerListBuilder
from pybrpc.naming.server_node import ServerNode
from pybrpc.naming.services.options import take_interval, take_policy

Version = tuple[int, int, int, int]
"""Device, inode, time of the last change and size of a file."""


class FileNaming(NamingService):
    """file:///path. The file is looked at 10 times a second, and read when it has changed and then
    has not changed any more from one look to the next: it may be being written."""

    def __init__(self, url: NamingUrl) -> None:
        self._url = url
        self._path, options = url.split()
        if not self._path or "\0" in self._path:
            raise url.error('a path is missing: write "file:///etc/servers"')
        take_interval(self, options, 0.1)
        # A look costs nothing: no reason to look less often while the file is missing.
        self.policy = take_policy(options, self.interval_s, max(self.interval_s, 1.0))
        options.check_all_known()
        self._read: Version | None = None
        self._seen: Version | None = None

    def fetch(self) -> list[ServerNode] | None:
        try:
            version = _version(os.stat(self._path))
            if version == self._read:
                return None
            if self._read is not None and version != self._seen:
                self._seen = version
                return None
            return self._servers()
        except (OSError, ValueError) as error:
            raise NamingError(f"{self._url}: {error}") from None

    def _servers(self) -> list[ServerNode]:
        builder = ServerListBuilder(self._url)
        with open(self._path, "rb") as file:
            version = _version(os.fstat(file.fileno()))
            data = file.read(MAX_ANSWER_BYTES + 1)
        if len(data) > MAX_ANSWER_BYTES:
            raise NamingError(f"{self._url}: more than {MAX_ANSWER_BYTES} bytes")
        builder.add_lines(data.decode("utf-8").splitlines())
        servers = builder.build()
        self._read = self._seen = version
        return servers

    def forget(self) -> None:
        self._read = None


def _version(status: os.stat_result) -> Version:
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
