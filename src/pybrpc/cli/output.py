"""Output: what a command prints, for people or as JSON."""

from __future__ import annotations

import codecs
import contextlib
import functools
import importlib
import json
import os
import sys
from typing import Any, NoReturn, TextIO

from pybrpc.errors import MissingExtraError

PIPE_WIDTH = 160
"""Columns of a table that goes to no terminal."""


class Output:
    """Prints to the standard output. `is_json`: for machines, one JSON value a line."""

    def __init__(self, is_json: bool = False) -> None:
        self.is_json = is_json

    @property
    def is_terminal(self) -> bool:
        """Whether a person looks at it: colours and live screens are for them alone."""
        return sys.stdout.isatty() and not self.is_json

    def value(self, value: Any) -> None:
        """Print a value as `escaped` JSON, in one line, and at once."""
        self.line(escaped(json.dumps(value, ensure_ascii=False)))

    def line(self, text: str = "") -> None:
        """Print a line, and at once."""
        print(text, flush=True)

    def result(self, value: Any, text: str) -> None:
        """Print `value` for machines, or `text` for people."""
        if self.is_json:
            self.value(value)
        else:
            self.line(text)

    def note(self, text: str) -> None:
        """Print a line to the standard error."""
        print(text, file=sys.stderr, flush=True)

    def json_text(self, text: str) -> None:
        """Print a text that is JSON, or looks like it; for people with colours, where rich is
        installed. What a terminal would obey is escaped."""
        text = escaped(text)
        if self.is_terminal:
            try:
                shown = rich("highlighter").JSONHighlighter()(rich("text").Text(text))
                self.console.print(shown, soft_wrap=True)
                return
            except MissingExtraError:
                pass
        self.line(text)

    @functools.cached_property
    def console(self) -> Any:
        """A Console of rich. MissingExtraError without the extra."""
        width = None if sys.stdout.isatty() else PIPE_WIDTH
        made = rich("console").Console(width=width, highlight=False)
        made.on_broken_pipe = raise_again  # it would end the process with status 1
        return made


def discard(stream: TextIO) -> None:
    """Have what can't be written go nowhere: Python writes it once more at its end."""
    with contextlib.suppress(OSError, ValueError):
        fd = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(fd, stream.fileno())
        finally:
            os.close(fd)


def raise_again() -> NoReturn:
    """Raise the exception that is handled."""
    raise


def rich(module: str) -> Any:
    """A module of rich. MissingExtraError, which says what to install, if it is not there."""
    try:
        return importlib.import_module(f"rich.{module}")
    except ImportError:
        text = 'this needs rich; install it with: pip install "pybrpc[cli]"'
        raise MissingExtraError(text) from None


def printable(text: str) -> str:
    """Text of a server without control characters, which a terminal would obey."""
    return "".join(each if each.isprintable() or each in "\n\t" else "\ufffd" for each in text)


def printable_line(text: str) -> str:
    """`printable` text, which is one line too."""
    return printable(text).replace("\n", "\ufffd")


def escaped(text: str) -> str:
    """JSON of which all characters that a terminal would obey are escaped, so it means the same."""
    return "".join(each if each.isprintable() or each in "\n\t" else escape(each) for each in text)


def escape(character: str) -> str:
    """A character as JSON writes it in ASCII."""
    return json.dumps(character)[1:-1]


def escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    """An error handler of codecs: characters that the encoding lacks are written as JSON writes
    them, so that JSON is JSON in any encoding."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(escape, error.object[error.start : error.end])), error.end


JSON_ESCAPE = "pybrpc.json_escape"
"""The name of that error handler."""
codecs.register_error(JSON_ESCAPE, escape_unencodable)
