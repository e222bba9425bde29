"""Authenticator: who says who a client is, and who believes it. After bRPC's `Authenticator`."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Protocol

from pybrpc.base.endpoint import Endpoint


@dataclasses.dataclass(frozen=True, slots=True)
class AuthContext:
    """What a server learned of a client from its credential; `controller.auth_context`."""

    user: str = ""
    group: str = ""
    roles: str = ""
    starter: str = ""
    is_service: bool = False


class Authenticator(Protocol):
    """Makes the credential of a client's connection, and verifies it in the server.

    The first request of a connection carries the credential, which stands for all that follow.
    Both methods may be called by any thread and must not block. Source: bRPC
    src/brpc/authenticator.h.
    """

    def generate_credential(self) -> bytes:
        """The client: what proves who it is. Once for each connection, when it is first written to.

        Raising fails the connection with ERPCAUTH, and all calls that wait on it.
        """

    def verify_credential(self, credential: bytes, client: Endpoint) -> AuthContext | None:
        """The server, once for each connection: who that is; `None` if that is of no interest.

        Raising refuses: it is logged, the client is told "Fail to authenticate" (ERPCAUTH), with
        the text of an AuthenticationError and nothing of any other, and the connection is closed.
        Returning anything else, such as False, refuses too. `credential` is b"" if none was sent.
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
    """What `auth` says of a client that it lets in; raises if it doesn't.

    It has to say so: what is neither an AuthContext nor `None` lets nobody in.
    """
    context = auth.verify_credential(credential, client)
    if context is not None and not isinstance(context, AuthContext):
        kind = type(context).__name__
        raise TypeError(f"verify_credential() must return an AuthContext or None, not a {kind}")
    return context
