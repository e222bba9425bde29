"""An Authenticator that sends a password."""

from __future__ import annotations

import dataclasses

import pybrpc
from pybrpc.rpc.authenticator import AuthContext


@dataclasses.dataclass(frozen=True)
class Password:
    secret: str

    def generate_credential(self) -> bytes:
        return self.secret.encode()

    def verify_credential(self, credential: bytes, client: pybrpc.Endpoint) -> AuthContext | None:
        if credential != self.secret.encode():
            raise PermissionError
        return AuthContext(user="somebody")
