"""Authenticator: makes and verifies the credentials of clients. After bRPC's `Authenticator`."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Protocol

from pybrpc.base.endpoint import Endpoint


@dataclasses.dataclass(frozen=True, slots=True)
class AuthContext:
    """The identity of a client, as its credential proved it; `controller.auth_context`."""

    user: str = ""
    group: str = ""
    roles: str = ""
    starter: str = ""
    is_service: bool = False


class Authenticator(Protocol):
    """Makes the credential of a client's connection, and verifies it in the server.

    The first request of a connection carries the credential, which holds for all later ones.
    Both methods may be called by any thread and must not block. Source: bRPC
    src/brpc/authenticator.h.
    """

    def generate_credential(self) -> bytes:
        """In a client: the bytes that prove its identity. Called once for each connection, before
        its first write.

        If this raises, the connection and all calls that wait on it fail with ERPCAUTH.
        """

    def verify_credential(self, credential: bytes, client: Endpoint) -> AuthContext | None:
        """In a server: the identity of the client; `None` accepts it without one. Called once for
        each connection. `credential` is b"" if none was sent.

        To refuse the client, raise. The exception is logged, the client gets "Fail to
        authenticate" (ERPCAUTH), and the connection is closed. The client also gets the text of an
        AuthenticationError, but of no other exception. Any other result, such as False, refuses
        the client too.
        """


def check_verifier(auth: object) -> None:
    """TypeError if `auth` can't verify credentials."""
    verify_credential = getattr(auth, "verify_credential", None)
    if not callable(verify_credential) or inspect.iscoroutinefunction(verify_credential):
        raise TypeError(
            "auth must be an Authenticator, with a plain function verify_credential(), "
            f"not {auth!r}"
        )


def verified(auth: Authenticator, credential: bytes, client: Endpoint) -> AuthContext | None:
    """The identity of a client that `auth` accepts; raises if it refuses.

    A result that is neither an AuthContext nor `None` refuses: a TypeError.
    """
    context = auth.verify_credential(credential, client)
    if context is not None and not isinstance(context, AuthContext):
        kind = type(context).__name__
        raise TypeError(f"verify_credential() must return an AuthContext or None, not a {kind}")
    return context
