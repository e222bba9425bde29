"""The token by which a page knows that a POST comes from its own form.

A page of another site can make a browser send a form, but it can't read the token in ours, nor set
a header of its own name without asking (the preflight of CORS, which is refused). So a POST needs
the token, or the header, which is for curl. Names of hosts are checked where requests arrive.
"""

from __future__ import annotations

import hmac
import secrets

from pybrpc.base.renewed import renew_in_child
from pybrpc.builtin.html import Html, tag
from pybrpc.builtin.page import PageError, PageRequest

TOKEN_FIELD = "token"
POST_HEADER = "X-Pybrpc-Post"
"""With any value, it stands for the token."""


class FormToken:
    """A random secret of this process. A forked child has another one."""

    def __init__(self) -> None:
        self._secret = secrets.token_urlsafe(24)
        renew_in_child(self)

    def renew_locks(self) -> None:
        """See `renew_in_child`."""
        self._secret = secrets.token_urlsafe(24)

    def share(self) -> str:
        """The secret, for other processes whose pages are shown as those of this one: never for a
        command line, a page or a log."""
        return self._secret

    def adopt(self, secret: str) -> None:
        """Take the secret of another process, which shows the pages of this one."""
        self._secret = secret

    def field(self) -> Html:
        """The hidden field of a form."""
        return tag("input", type="hidden", name=TOKEN_FIELD, value=self._secret)

    def check(self, request: PageRequest) -> None:
        """PageError (403) unless `request` comes from a form of this process, or has the header."""
        if POST_HEADER in request.headers:
            return
        sent = request.form().get(TOKEN_FIELD, "")
        if not hmac.compare_digest(sent.encode("utf-8", "replace"), self._secret.encode()):
            raise PageError(
                403,
                f"a POST needs the token of a form of this process, or the header {POST_HEADER}: 1",
            )

    def __repr__(self) -> str:
        return "<FormToken ...>"


FORM_TOKEN = FormToken()
