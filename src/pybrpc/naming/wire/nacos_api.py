"""NacosApi: version 1 of the open API of Nacos, which Nacos 2 speaks too, with its login
(https://nacos.io/docs/v1/open-api/)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from pybrpc.errors import NamingError
from pybrpc.naming.wire.http_api import HttpAnswer, HttpApi
from pybrpc.naming.wire.http_settings import HttpSettings
from pybrpc.naming.wire.json_fields import field, number_or

DEFAULT_PORT = 8848
DEFAULT_PATH = "/nacos"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
RENEWED_EARLY_S = 10.0
"""A token is renewed so long before it ends, as in bRPC (nacos_naming_service.cpp)."""


class NacosApi:
    """Requests to Nacos. One thread, but for `http.interrupt`.

    path   what all paths begin with: the context path of Nacos
    """

    def __init__(
        self,
        settings: HttpSettings,
        path: str = DEFAULT_PATH,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.http = HttpApi(settings)
        self._settings = settings
        self._path = path
        self._clock = clock
        self._token = ""
        self._token_ends_s = 0.0

    def call(self, method: str, path: str, fields: dict[str, str]) -> HttpAnswer:
        """One request, with a valid token. An answer of any status but 401 and 403."""
        answer = self._send(method, path, fields)
        if answer.status in (401, 403) and self._settings.user:
            self._token = ""
            answer = self._send(method, path, fields)
        if answer.status in (401, 403):
            raise answer.error("access is denied")
        return answer

    def _send(self, method: str, path: str, fields: dict[str, str]) -> HttpAnswer:
        token = self._valid_token()
        query = urlencode({**fields, "accessToken": token} if token else fields)
        return self.http.request(method, f"{self._path}{path}?{query}")

    def _valid_token(self) -> str:
        """The token of the user, "" if there is none. NamingError if the login is refused."""
        if not self._settings.user:
            return ""
        if not self._token or self._clock() >= self._token_ends_s:
            answer = self._log_in()
            self._token = field(answer, "accessToken", str)
            ttl_s = number_or(answer, "tokenTtl", 0.0)
            self._token_ends_s = self._clock() + max(ttl_s - RENEWED_EARLY_S, ttl_s / 2)
        return self._token

    def _log_in(self) -> Any:
        body = urlencode({"username": self._settings.user, "password": self._settings.password})
        target = f"{self._path}/v1/auth/login"
        answer = self.http.request("POST", target, body.encode(), FORM)
        if answer.status >= 400:
            raise NamingError(f"{answer.what}: the login is refused, with status {answer.status}")
        return answer.checked().json()
