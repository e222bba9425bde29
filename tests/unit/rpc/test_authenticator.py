"""Objects that may verify credentials, and results that accept a client."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.rpc.authenticator import AuthContext, check_verifier, verified

CLIENT = Endpoint("10.0.0.1", 7)


class Says:
    """Verifies with a given verdict; keeps what it was asked."""

    def __init__(self, verdict: Any) -> None:
        self.verdict = verdict
        self.asked: list[tuple[bytes, Endpoint]] = []

    def generate_credential(self) -> bytes:
        return b"mine"

    def verify_credential(self, credential: bytes, client: Endpoint) -> Any:
        self.asked.append((credential, client))
        return self.verdict


class Waits:
    async def verify_credential(self, credential: bytes, client: Endpoint) -> None:
        """Nobody would wait for it."""


class Field:
    verify_credential = True


@pytest.mark.parametrize("verdict", [None, AuthContext("alice", roles="admin")])
def test_context_or_none_accepts_the_client(verdict: AuthContext | None) -> None:
    auth = Says(verdict)
    assert verified(auth, b"secret", CLIENT) == verdict
    assert auth.asked == [(b"secret", CLIENT)]


@pytest.mark.parametrize("verdict", [False, True, "", "alice", 0])
def test_any_other_result_refuses_the_client(verdict: Any) -> None:
    with pytest.raises(TypeError, match=f"or None, not a {type(verdict).__name__}"):
        verified(Says(verdict), b"secret", CLIENT)


def test_object_with_verify_credential_is_a_verifier() -> None:
    check_verifier(Says(None))


@pytest.mark.parametrize("auth", [None, "secret", Waits(), Field()])
def test_object_without_verify_credential_is_no_verifier(auth: object) -> None:
    with pytest.raises(TypeError, match="auth must be an Authenticator, with a plain function"):
        check_verifier(auth)
