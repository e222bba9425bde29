"""RedisHandshake: the login of a connection before its first command."""

from __future__ import annotations

import dataclasses
import enum
from typing import Literal

from pybrpc.base.checked_options import checked_count, checked_text, checked_text_or_none
from pybrpc.errors import (
    AuthenticationError,
    BadRequestError,
    ErrorCode,
    Phase,
    ProtocolError,
    RpcError,
    make_rpc_error,
)
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.detect import tls_hint
from pybrpc.protocols.redis.command import Argument, pack_command
from pybrpc.protocols.redis.reply_parser import (
    BadReply,
    RedisError,
    RedisPush,
    Reply,
    ReplyParser,
)
from pybrpc.protocols.redis.reply_scanner import MalformedReplyError

MAX_REPLY_BYTES = 1024 * 1024

_LOGIN_CODES = frozenset({"NOAUTH", "WRONGPASS", "NOPERM", "DENIED"})
_ECHO = ", with args beginning with:"
_PASSING_CODES = frozenset({"LOADING", "BUSY", "MASTERDOWN", "TRYAGAIN"})


@dataclasses.dataclass(frozen=True, slots=True)
class RedisLogin:
    """The settings of a login. The repr does not show the password.

    username     the name of an ACL user; `None` for the default user
    password     `None` for a server that requires none
    db           the number of the database
    client_name  the name that CLIENT LIST shows; "" for none
    protocol     3: send HELLO 3, and fall back to RESP2 with a server older than Redis 6, which
                 does not know HELLO; 2: send no HELLO
    """

    username: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)
    db: int = 0
    client_name: str = "pybrpc"
    protocol: Literal[2, 3] = 3

    def __post_init__(self) -> None:
        checked_text_or_none("username", self.username)
        checked_text_or_none("password", self.password)
        checked_text("client_name", self.client_name)
        if self.username is not None and self.password is None:
            raise ValueError("username= needs password= too")
        checked_count("db", self.db)
        if not self.client_name.isascii() or any(c <= " " for c in self.client_name):
            raise ValueError(f"client_name must be ASCII without blanks, not {self.client_name!r}")
        if isinstance(self.protocol, bool) or self.protocol not in (2, 3):
            raise ValueError(f"protocol must be 2 or 3, not {self.protocol!r}")


class _Step(enum.Enum):
    HELLO = "HELLO"
    AUTH = "AUTH"
    SETNAME = "CLIENT SETNAME"
    SELECT = "SELECT"


class RedisHandshake:
    """The AppConnect of Redis: sends HELLO 3 with AUTH and SETNAME, or AUTH and SETNAME alone; then
    SELECT.

    Raises AuthenticationError, with the text of Redis, if the login is refused; BadRequestError if
    the database does not exist; HandshakeError if the server is not ready, which is worth a retry;
    ProtocolError if the server does not speak the protocol of Redis. Like bRPC's
    RedisAuthenticator.
    """

    __slots__ = ("_login", "_parser", "_step", "_to_do")

    def __init__(self, login: RedisLogin) -> None:
        self._login = login
        self._parser = ReplyParser(MAX_REPLY_BYTES, skips=False)
        self._step: _Step | None = None
        self._to_do: list[_Step] = []

    def start(self, outgoing: IOBuf) -> bool:
        self._to_do = self._last_steps() if self._login.protocol == 3 else self._steps_of_resp2()
        if self._login.protocol == 3:
            self._to_do.insert(0, _Step.HELLO)
        return self._say_next(outgoing)

    def on_data(self, incoming: IOBuf, outgoing: IOBuf) -> bool:
        while True:
            replies: list[Reply] = []
            try:
                self._parser.parse(incoming, replies, at_most=1)
            except MalformedReplyError as reason:
                hint = tls_hint(incoming)
                text = f"the server does not speak the protocol of Redis: {reason}{hint}"
                raise ProtocolError(text, phase=Phase.HANDSHAKE, is_remote=True) from None
            if not replies:
                return False
            if isinstance(replies[0], BadReply):
                text = f"Redis has answered a login oddly: {replies[0].reason}"
                raise ProtocolError(text, phase=Phase.HANDSHAKE, is_remote=True)
            if isinstance(replies[0], RedisError):
                replies[0] = self._without_password(replies[0])
            if not isinstance(replies[0], RedisPush):
                self._on_reply(replies[0])
                if self._say_next(outgoing):
                    return True

    def _last_steps(self) -> list[_Step]:
        return [_Step.SELECT] if self._login.db else []

    def _steps_of_resp2(self) -> list[_Step]:
        login = self._login
        steps = [_Step.AUTH] if login.password is not None else []
        return steps + ([_Step.SETNAME] if login.client_name else []) + self._last_steps()

    def _say_next(self, outgoing: IOBuf) -> bool:
        """Send the command of the next step. True if there was no step left."""
        if not self._to_do:
            return True
        self._step = self._to_do.pop(0)
        pack_command(self._command(self._step), outgoing)
        return False

    def _command(self, step: _Step) -> list[Argument]:
        login = self._login
        name: list[Argument] = [login.client_name]
        user = login.username
        if step is _Step.AUTH:
            return ["AUTH", *([] if user is None else [user]), login.password or ""]
        if step is _Step.SETNAME:
            return ["CLIENT", "SETNAME", *name]
        if step is _Step.SELECT:
            return ["SELECT", login.db]
        command: list[Argument] = ["HELLO", 3]
        if login.password is not None:
            command += ["AUTH", "default" if user is None else user, login.password]
        return [*command, "SETNAME", *name] if login.client_name else command

    def _on_reply(self, reply: Reply) -> None:
        if not isinstance(reply, RedisError) or self._step is _Step.SETNAME:
            return
        if self._step is not _Step.HELLO or not self._is_old_server(reply):
            raise self._failure(reply)
        self._to_do = self._steps_of_resp2()

    def _is_old_server(self, error: RedisError) -> bool:
        """Whether the server does not know HELLO, or requires AUTH before it."""
        wants_auth_first = error.code == "NOAUTH" and self._login.password is not None
        is_unknown = error.text.lower().startswith("err unknown command")
        return wants_auth_first or is_unknown or error.code == "NOPROTO"

    def _without_password(self, error: RedisError) -> RedisError:
        """`error`, in which the server may repeat the arguments of a command that it does not
        know; of long ones only a part."""
        password = self._login.password
        if not password:
            return error
        text, echo, arguments = error.text.partition(_ECHO)
        return RedisError(f"{text}{echo}{arguments and ' ...'}".replace(password, "..."))

    def _failure(self, error: RedisError) -> RpcError:
        assert self._step is not None
        text = f"Redis refuses {self._step.value}: {error.text}"
        if self._step is _Step.AUTH or error.code in _LOGIN_CODES:
            advice = "check" if self._login.password is not None else "give the channel"
            text = f"{text}; {advice} username= and password="
            return AuthenticationError(text, phase=Phase.HANDSHAKE, is_remote=True)
        if error.code in _PASSING_CODES or error.text.startswith("ERR max number of clients"):
            code = ErrorCode.EFAILEDSOCKET
            return make_rpc_error(code, text, phase=Phase.HANDSHAKE, is_remote=True)
        return BadRequestError(text, phase=Phase.HANDSHAKE, is_remote=True)
