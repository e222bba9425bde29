"""Verification of the credential in the first message of a connection."""

from __future__ import annotations

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import AuthenticationError
from pybrpc.protocols.message import Message, RpcRequest, RpcResponse
from pybrpc.protocols.streaming.stream_frame import StreamFrame
from pybrpc.rpc.authenticator import AuthContext, Authenticator, verified

MAX_REASON = 1024
"""Longest text of an AuthenticationError that is sent to the client, in characters."""


def verify_credential(
    auth: Authenticator, message: Message, client: Endpoint
) -> AuthContext | None:
    """Verify the credential of `message`. A message without one has an empty credential.

    The credential comes before everything else that may be wrong with the message, as in bRPC. It
    is not kept in a request. Raises whatever the authenticator raises.
    """
    credential = None if isinstance(message, RpcResponse | StreamFrame) else message.credential
    if isinstance(message, RpcRequest):
        message.credential = None
    return verified(auth, credential or b"", client)


def authentication_failure(correlation_id: int, reason: BaseException) -> RpcResponse:
    """The response to a message whose credential was refused because of `reason`.

    As in bRPC's VerifyRpcRequest its text is bare, without this side's address.
    """
    text = reason.text if isinstance(reason, AuthenticationError) else ""
    if isinstance(text, str) and text:
        text = f"Fail to authenticate: {text[:MAX_REASON]}"
    else:
        text = "Fail to authenticate"
    return RpcResponse(
        correlation_id,
        int(AuthenticationError.default_code),
        text,
        compress_type=None,
        content_type=None,
        checksum_type=None,
        checksum_value=None,
    )
