"""StreamingMethod: a method of a stub that streams, and can't be called yet."""

from __future__ import annotations

from typing import Any, NoReturn

from pybrpc.errors import StreamingMethodError


class StreamingMethod:
    """A streaming method of a stub. Each form of calling raises a StreamingMethodError."""

    __slots__ = ("full_name",)

    def __init__(self, full_name: str) -> None:
        self.full_name = full_name

    def __call__(self, *arguments: Any, **options: Any) -> NoReturn:
        raise StreamingMethodError(
            f"{self.full_name} streams requests or responses, which pybrpc can't do yet; the unary "
            "methods of the service can be called, and open streams of bRPC with .stream(...)"
        )

    def future(self, *arguments: Any, **options: Any) -> NoReturn:
        self()

    def with_callback(self, *arguments: Any, **options: Any) -> NoReturn:
        self()

    def stream(self, *arguments: Any, **options: Any) -> NoReturn:
        self()

    def __repr__(self) -> str:
        return f"<StreamingMethod {self.full_name}>"
