"""Authenticator: makes and verifies the credentials of clients. After bRPC's `Authenticator`."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Protocol

from pybrpc.base.endpoint import Endpoint


@dataclasses.dataclass(frozen=True, slots=True)
class AuthContext:
    """The identity of a client, as its credential proved it; `controller.auth_context`.

    An Authenticator fills it in, and only handlers look at it: the texts mean what the two agree
    on. The fields are those of C++ bRPC's `AuthContext`.

    user        name of the user
    group       name of the user's group
    roles       roles of the user
    starter     name of the user that started the process of the client
    is_service  whether the client is a service, and no person
    """

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

        It is called in the thread, or the loop, that reads all connections of the server. While it
        runs, none of them is served. So it must not block, nor ask another service: a credential
        should be something that can be verified here, such as a signature. It may be as long as
        the meta of a message, 1 MiB.

        To refuse the client, raise. The exception is logged, the client gets "Fail to
        authenticate" (ERPCAUTH), and the connection is closed. The client also gets the text of an
        AuthenticationError, but of no other exception, which may also be a SystemExit or a
        CancelledError. Any other result, such as False, refuses the client too.
        """


def check_verifier(auth: object) -> None:
    """TypeError if `auth` can't verify credentials."""
    check_method(auth, "verify_credential")


def check_method(auth: object, name: str) -> None:
    """TypeError unless `auth` is an object with a plain function `name`: nobody awaits it."""
    method = getattr(auth, name, None)
    if isinstance(auth, type) or not callable(method) or inspect.iscoroutinefunction(method):
        # Not its repr: it may be, or show, the credential.
        came = (
            f"the class {auth.__name__}" if isinstance(auth, type) else f"a {type(auth).__name__}"
        )
        raise TypeError(
            f"auth must be an Authenticator, with a plain function {name}(), not {came}"
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
