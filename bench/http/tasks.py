"""The two requests that every server answers: JSON that it echoes, and a text."""

from __future__ import annotations

import json
from dataclasses import dataclass

from bench.work import SMALL_BYTES

ECHO_PATH = "/EchoService/Echo"
TEXT_PATH = "/hello"
TEXT = b"Hello, World!"
MESSAGE = "x" * SMALL_BYTES


@dataclass(frozen=True, slots=True)
class Task:
    """A request and its answer. It is a POST if it has a body, else a GET."""

    path: str
    body: bytes
    content_type: str
    answer: bytes

    def is_answer(self, content_type: str, body: bytes) -> bool:
        """Whether that is the answer; JSON may have blanks."""
        if content_type.partition(";")[0] != self.content_type:
            return False
        if not self.body:
            return body == self.answer
        try:
            return bool(json.loads(body) == json.loads(self.answer))
        except ValueError:
            return False


ECHO_BODY = json.dumps({"message": MESSAGE}, separators=(",", ":")).encode()
TASKS = {
    "echo": Task(ECHO_PATH, ECHO_BODY, "application/json", ECHO_BODY),
    "text": Task(TEXT_PATH, b"", "text/plain", TEXT),
}
