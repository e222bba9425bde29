"""EtcdApi: etcd's version 3 by its JSON gateway: keys and values in base64, 64-bit numbers as
strings (https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/)."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from typing import Any

from pybrpc.errors import NamingError
from pybrpc.naming.interfaces import MAX_SERVERS
from pybrpc.naming.wire.http_api import HttpAnswer, HttpApi
from pybrpc.naming.wire.http_settings import HttpSettings
from pybrpc.naming.wire.json_fields import field, field_or, items_of, whole_number

DEFAULT_PORT = 2379
JSON = {"Content-Type": "application/json"}
_TOKEN_ENDS = (401, 403)


class EtcdApi:
    """Ranges, watches and leases of one etcd. One thread, but for `http.interrupt`."""

    def __init__(self, settings: HttpSettings, version: str = "v3") -> None:
        self.http = HttpApi(settings)
        self._settings = settings
        self._version = version
        self._token = ""

    def range(self, prefix: bytes) -> tuple[int, list[tuple[bytes, bytes]]]:
        """The revision of the store, and the keys that begin with `prefix`, with their values."""
        answer = self._call("kv/range", {**_range_of(prefix), "limit": str(MAX_SERVERS + 1)})
        pairs = [
            (_bytes_of(pair, "key"), _bytes_of(pair, "value")) for pair in items_of(answer, "kvs")
        ]
        return _revision_of(answer), pairs

    def wait_for_change(self, prefix: bytes, revision: int, timeout_s: float) -> bool:
        """Block until a key that begins with `prefix` has changed in `revision` or later; False if
        none has after `timeout_s`. True too if etcd has compacted that revision away, or is not
        near it: then it has lost its data, and begins anew."""
        create = {"create_request": {**_range_of(prefix), "start_revision": str(revision)}}
        with self._lines("watch", create, timeout_s) as lines:
            for line in lines:
                result = field(_json(line), "result", dict)
                is_compacted = field_or(result, "canceled", False)
                if is_compacted or items_of(result, "events"):
                    return True
                if field_or(result, "created", False) and _revision_of(result) < revision - 1:
                    return True
        return False

    def put(self, key: bytes, value: bytes, lease: int) -> None:
        """Store a key that ends with its lease."""
        self._call("kv/put", {"key": _text(key), "value": _text(value), "lease": str(lease)})

    def grant_lease(self, ttl_s: int) -> int:
        """A new lease of `ttl_s` seconds. NamingError if the answer names none: a key that is put
        without a lease stays for ever."""
        lease = whole_number(self._call("lease/grant", {"TTL": str(ttl_s)}), "ID")
        if not lease:
            raise NamingError("etcd has granted no lease")
        return lease

    def keep_alive(self, lease: int) -> bool:
        """Renew a lease; False if it has ended."""
        answer = self._call("lease/keepalive", {"ID": str(lease)})
        return whole_number(field(answer, "result", dict), "TTL") > 0

    def revoke(self, lease: int) -> None:
        """End a lease, and with it its keys. One that has ended is no error."""
        with contextlib.suppress(LeaseEndedError):
            self._call("lease/revoke", {"ID": str(lease)})

    def _call(self, method: str, body: dict[str, Any]) -> Any:
        answer = self._send(method, body)
        if answer.status in _TOKEN_ENDS and self._settings.user:
            self._token = ""
            answer = self._send(method, body)
        if answer.status == 404 and b"lease not found" in answer.body:
            raise LeaseEndedError("the lease has ended")
        return answer.checked().json()

    def _send(self, method: str, body: dict[str, Any]) -> HttpAnswer:
        target = f"/{self._version}/{method}"
        return self.http.request("POST", target, json.dumps(body).encode(), self._headers())

    @contextlib.contextmanager
    def _lines(
        self, method: str, body: dict[str, Any], timeout_s: float
    ) -> Iterator[Iterator[bytes]]:
        target, data = f"/{self._version}/{method}", json.dumps(body).encode()
        with self.http.open_lines(target, data, self._headers(), timeout_s) as lines:
            yield lines

    def _headers(self) -> dict[str, str]:
        """With a token, if there is a user."""
        if not self._settings.user:
            return JSON
        if not self._token:
            body = {"name": self._settings.user, "password": self._settings.password}
            target = f"/{self._version}/auth/authenticate"
            answer = self.http.request("POST", target, json.dumps(body).encode(), JSON)
            self._token = field(answer.checked().json(), "token", str)
        return {**JSON, "Authorization": self._token}


class LeaseEndedError(NamingError):
    """etcd does not know the lease."""


def _revision_of(answer: Any) -> int:
    return whole_number(field(answer, "header", dict), "revision")


def _range_of(prefix: bytes) -> dict[str, str]:
    return {"key": _text(prefix), "range_end": _text(_end_of(prefix))}


def _end_of(prefix: bytes) -> bytes:
    r"""The first key behind all that begin with `prefix`; b"\0" is etcd's "to the end"."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else b"\0"


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes_of(pair: Any, name: str) -> bytes:
    try:
        return base64.b64decode(field_or(pair, name, ""), validate=True)
    except ValueError:
        raise NamingError(f"the {name} of an entry is no base64") from None


def _json(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise NamingError(f"a line of a watch is no JSON ({type(error).__name__})") from None
