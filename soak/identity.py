"""Identity: the credential of one user; servers believe everybody who says a name."""

from __future__ import annotations

import dataclasses

import pybrpc

_PREFIX = b"soak user "


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """An Authenticator. Channels of the same user share connections, those of others don't."""

    user: str

    def generate_credential(self) -> bytes:
        return _PREFIX + self.user.encode()

    def verify_credential(
        self, credential: bytes, client: pybrpc.Endpoint
    ) -> pybrpc.AuthContext | None:
        """PermissionError for a connection whose first request does not say a name."""
        if not credential.startswith(_PREFIX):
            raise PermissionError(f"{client} sent {credential!r}")
        return pybrpc.AuthContext(user=credential.removeprefix(_PREFIX).decode())


USERS = (Identity("ann"), Identity("bob"))
