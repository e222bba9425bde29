"""Verification of the credential in the first message of a connection."""

from __future__ import annotations

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import AuthenticationError
from pybrpc.protocols.message import Message, RpcRequest, RpcResponse
from pybrpc.rpc.authenticator import AuthContext, Authenticator, verified


def verify_credential(
    auth: Authenticator, message: Message, client: Endpoint
) -> AuthContext | None:
    """Verify the credential of `message`. A message without one has an empty credential.

    Raises whatever the authenticator raises.
    """
    credential = message.credential if isinstance(message, RpcRequest) else None
    return verified(auth, credential or b"", client)


def authentication_failure(correlation_id: int, reason: Exception) -> RpcResponse:
    """The response to a message whose credential was refused because of `reason`.

    As in bRPC's VerifyRpcRequest its text is bare, without this side's address.
    """
    text = reason.text if isinstance(reason, AuthenticationError) else ""
    return RpcResponse(
        correlation_id,
        int(AuthenticationError.default_code),
        f"Fail to authenticate: {text}" if text else "Fail to authenticate",
        compress_type=None,
        content_type=None,
        checksum_type=None,
        checksum_value=None,
    )
