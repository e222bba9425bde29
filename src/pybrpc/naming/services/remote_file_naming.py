"""remotefile://: a file as for file://, which is got by HTTP, as in bRPC."""

from __future__ import annotations

import dataclasses

from pybrpc.errors import NamingError
from pybrpc.naming.interfaces import NamingService
from pybrpc.naming.naming_url import NamingUrl
from pybrpc.naming.server_lists import ServerListBuilder
from pybrpc.naming.server_node import ServerNode
from pybrpc.naming.services.options import take_interval, take_policy
from pybrpc.naming.wire.http_api import HttpApi
from pybrpc.naming.wire.http_settings import HttpSettings

NOT_MODIFIED = 304


class RemoteFileNaming(NamingService):
    """remotefile://host/path, remotefile://http://host/path, remotefile://https://host/path.

    The query, but for the options of naming services, belongs to the URL of the file.
    """

    def __init__(self, url: NamingUrl) -> None:
        self._url = url
        text, options = url.split()
        scheme, separator, rest = text.partition("://")
        if separator and scheme.lower() not in ("http", "https"):
            raise url.error("a remote file is got by http:// or https://")
        is_https = bool(separator) and scheme.lower() == "https"
        authority, _, path = (rest if separator else text).partition("/")
        settings = HttpSettings.of(url, authority, options, 443 if is_https else 80)
        if settings.user:
            raise url.error("a user and a password are not sent")
        self._http = HttpApi(dataclasses.replace(settings, tls=settings.tls or is_https))
        take_interval(self, options)
        self.policy = take_policy(options)
        query = options.take_query()
        self._target = f"/{path}?{query}" if query else f"/{path}"
        self._conditions: dict[str, str] = {}

    def fetch(self) -> list[ServerNode] | None:
        answer = self._http.request("GET", self._target, headers=self._conditions)
        if answer.status == NOT_MODIFIED and self._conditions:
            return None
        if answer.status != 200:
            raise answer.error(f"status {answer.status}")
        try:
            lines = answer.body.decode("utf-8").splitlines()
        except UnicodeDecodeError:
            raise NamingError(f"{answer.what}: the answer is no text") from None
        builder = ServerListBuilder(self._url)
        builder.add_lines(lines)
        servers = builder.build()
        self._conditions = {
            condition: answer.headers[name]
            for condition, name in (
                ("If-None-Match", "ETag"),
                ("If-Modified-Since", "Last-Modified"),
            )
            if name in answer.headers
        }
        return servers

    def forget(self) -> None:
        self._conditions = {}

    def interrupt(self) -> None:
        self._http.interrupt()

    def close(self) -> None:
        self._http.close()
