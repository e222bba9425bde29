"""new_sub_controller: the controller of a sub call, with the options of the main call."""

from __future__ import annotations

from pybrpc.iobuf import IOBuf
from pybrpc.rpc.controller import Controller

_SHARED = (
    "_log_id",
    "_request_id",
    "_hash_key",
    "_request_compress_type",
    "_request_checksum_type",
    "_request_checksum_attachment",
    "_http_request",
)
_RETRIES = ("_max_retry", "_backup_request_ms")


def new_sub_controller(
    main: Controller, given: Controller | None = None, *, with_retries: bool = True
) -> Controller:
    """A controller with the options of `given`, and of `main` where those are not set. The
    attachment of `main` follows that of `given`.

    `with_retries`: whether options for retries and backup requests are taken from `main`, too.
    """
    made = Controller()
    for name in (*_SHARED, *_RETRIES) if with_retries else _SHARED:
        value = None if given is None else getattr(given, name)
        setattr(made, name, getattr(main, name) if value is None else value)
    fields = dict(main._request_user_fields or {})
    attachment = IOBuf()
    if given is not None:
        fields |= given._request_user_fields or {}
        for name in _RETRIES:
            if getattr(given, name) is not None:
                setattr(made, name, getattr(given, name))
        if given._request_attachment is not None:
            attachment.append(given._request_attachment)
        made._timeout_ms = given._timeout_ms
    if main._request_attachment is not None:
        attachment.append(main._request_attachment)
    if attachment:
        made._request_attachment = attachment
    if fields:
        made._request_user_fields = fields
    return made


def take_results(main: Controller, sub: Controller) -> None:
    """Have `main` show the results of `sub`, the one sub call that has decided how it ended."""
    for name in (
        "_http_response",
        "_response_attachment",
        "_response_checksum_attachment",
        "_response_checksum_type",
        "_response_compress_type",
        "_response_user_fields",
        "local_side",
        "remote_side",
    ):
        setattr(main, name, getattr(sub, name))
