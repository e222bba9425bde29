"""RedisMethod: serializes and parses calls of Redis, in the place of a method of a service."""

from __future__ import annotations

import dataclasses
from typing import Any

from pybrpc.errors import BadRequestError, Phase
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.redis.reply_parser import Reply
from pybrpc.redis.redis_request import RedisRequest
from pybrpc.redis.redis_response import RedisResponse, decoded
from pybrpc.rpc.controller import Controller


@dataclasses.dataclass(frozen=True, slots=True)
class RedisBody:
    """The bytes of the commands of a request, and how many replies will come."""

    packed: IOBuf
    reply_count: int


@dataclasses.dataclass(frozen=True, slots=True)
class RedisMethod:
    """A CalledMethod. With `decode` its results hold `str` instead of bytes."""

    decode: bool

    @property
    def full_name(self) -> str:
        """The name that bRPC uses."""
        return "redis-server"

    def serialize(self, request: Any, controller: Controller | None) -> RedisBody:
        if not isinstance(request, RedisRequest):
            text = f"request must be a pybrpc.redis.RedisRequest, not {request!r}"
            raise BadRequestError(text, phase=Phase.QUEUED)
        return RedisBody(request.packed(), len(request))

    def parse(self, response: list[Reply], max_body_size: int) -> RedisResponse:
        return RedisResponse(map(decoded, response) if self.decode else response)

    def fill(self, controller: Controller, response: Any) -> None:
        """Do nothing: a response of Redis has only replies."""
