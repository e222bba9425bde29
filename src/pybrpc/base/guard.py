"""Running code that may raise anything, and logging, which never raises here.

Callbacks, policies, authenticators, and the filters and handlers of `logging` belong to the user.
Whatever they raise must not end a thread of this library, and must not keep it from other work. So
user code is run, and everything is logged, by the functions of this module.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import traceback
import unicodedata
from _thread import interrupt_main
from collections.abc import Callable
from typing import Any

from pybrpc.base.lazy_modules import running_loop
from pybrpc.base.user_code_error import UserCodeError as UserCodeError


def run_guarded(
    function: Callable[..., object], *arguments: Any, what: str, log: Log | None = None
) -> bool:
    """Call `function(*arguments)`. What it raises is logged, to `log` if given; False then.

    `what` names the function in the log, such as "the done callback of echo.EchoService.Echo".
    """
    try:
        function(*arguments)
    except BaseException as error:
        (log or LIBRARY).caught("%s raised", what, error=error)
        return False
    return True


def deliver_interrupt(error: BaseException) -> None:
    """Have the main thread get `error`, if that is a KeyboardInterrupt that was caught in it.

    It is raised there again, as if Ctrl-C had been pressed now: in an asyncio loop after the
    function that the loop runs, else at once. To be called last, when no work can be lost any more.
    """
    if not isinstance(error, KeyboardInterrupt):
        return
    if threading.current_thread() is not threading.main_thread():
        return
    loop = running_loop()
    if loop is None or loop.is_closed():
        interrupt_main()
    else:
        loop.call_soon(interrupt_main)


def safe_repr(value: object) -> str:
    """`repr(value)`, or the name of its type if that raises."""
    try:
        return repr(value)
    except BaseException as error:
        deliver_interrupt(error)
        return f"<{type(value).__name__}>"


def safe_str(value: object) -> str | None:
    """`str(value)`; `None` if that raises."""
    try:
        return str(value)
    except BaseException as error:
        deliver_interrupt(error)
        return None


def is_class_of_library(kind: type) -> bool:
    """Whether this library defines `kind`."""
    module = kind.__module__
    return isinstance(module, str) and module.startswith("pybrpc.")


def is_of_library(error: BaseException) -> bool:
    """Whether only code of this library, and none of the user, ran where `error` was raised.

    Code that calls functions of the user has to raise a UserCodeError, which is not of the library.
    """
    if isinstance(error, UserCodeError):
        return False
    place = error.__traceback__
    while place is not None:
        module = place.tb_frame.f_globals.get("__name__")
        if not isinstance(module, str) or not module.startswith("pybrpc."):
            return False
        place = place.tb_next
    return True


class Log:
    """One logger of this library. No method ever raises, nor logs more than one line, but for the
    traceback of `error`: control characters are escaped, which a peer may have sent.

    The record names the caller of the method, unless that is compiled.
    """

    __slots__ = ("_logger",)

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def wants_debug(self) -> bool:
        """Whether `debug` logs anything: cheaper to ask than to make a text for it."""
        return self._logger.isEnabledFor(logging.DEBUG)

    def raised(self, text: str, *values: object, error: BaseException) -> None:
        """Log `text % values` as an error, with the traceback of `error`."""
        self._log(logging.ERROR, text, values, error)

    def caught(self, text: str, *values: object, error: BaseException) -> None:
        """`raised`, then `deliver_interrupt`: for an `except BaseException` that goes on."""
        self._log(logging.ERROR, text, values, error)
        deliver_interrupt(error)

    def error(self, text: str, *values: object) -> None:
        """Log an error."""
        self._log(logging.ERROR, text, values, None)

    def warning(self, text: str, *values: object, error: BaseException | None = None) -> None:
        """Log a warning, with the traceback of `error` if there is one."""
        self._log(logging.WARNING, text, values, error)

    def info(self, text: str, *values: object) -> None:
        """Log a line of information."""
        self._log(logging.INFO, text, values, None)

    def debug(self, text: str, *values: object) -> None:
        """Log a line for debugging."""
        self._log(logging.DEBUG, text, values, None)

    def _log(
        self, level: int, text: str, values: tuple[object, ...], error: BaseException | None
    ) -> None:
        try:
            logger = self._logger
            if not logger.isEnabledFor(level):
                return
            message = escaped(text % values)
            file, line, function, _ = logger.findCaller(stacklevel=3)
            raised = None if error is None else (type(error), error, error.__traceback__)
            record = logger.makeRecord(
                logger.name, level, file, line, message, (), raised, function
            )
            if error is not None:
                record.exc_text = _safe_traceback(error)
            logger.handle(record)
        except BaseException as reason:
            _report_failed_log(text, reason)
            deliver_interrupt(reason)


LIBRARY = Log("pybrpc")
CLIENT = Log("pybrpc.client")
NAMING = Log("pybrpc.naming")
REDIS = Log("pybrpc.redis")
SERVER = Log("pybrpc.server")
TRANSPORT = Log("pybrpc.transport")
WORKERS = Log("pybrpc.server.workers")

log_raised = LIBRARY.raised
log_caught = LIBRARY.caught
log_warning = LIBRARY.warning


def escaped(text: str) -> str:
    """`text` with its control characters, line ends and lone surrogates as "\\n", "\\x1b"."""
    if text.isprintable():
        return text
    return "".join(
        char
        if char.isprintable() or unicodedata.category(char) == "Zs"
        else char.encode("unicode_escape").decode()
        for char in text
    )


_HEADER = "Traceback (most recent call last):\n"
_JOINTS = (
    "\nThe above exception was the direct cause of the following exception:\n\n",
    "\nDuring handling of the above exception, another exception occurred:\n\n",
)


def _safe_traceback(error: BaseException) -> str | None:
    """The traceback of `error`, in which no line but the expected ones begins at the margin: the
    headers, and the first line of each exception. Its other lines and its notes are moved to the
    right. `None` if the usual traceback is so, which a formatter may then make in its own way."""
    parts = traceback.format_exception(error)
    safe: list[str] = []
    is_exception_due = True
    previous = ""
    for part in parts:
        if part in _JOINTS:
            is_exception_due = True
            safe.append(part.removesuffix("\n"))
        elif part == _HEADER and previous in ("", *_JOINTS):
            safe.append(part.removesuffix("\n"))
        elif part.startswith(" "):
            safe.append(_safe_part(part))
        else:
            safe.append(_safe_part(part if is_exception_due else f"    {part}"))
            is_exception_due = False
        previous = part
    text = "\n".join(safe)
    return None if text == "".join(parts).removesuffix("\n") else text


def _safe_part(part: str) -> str:
    """The text of an exception may have several lines: all but the first are moved to the right."""
    first, *rest = part.removesuffix("\n").split("\n")
    lines = [first, *(line if line[:1] in ("", " ") else f"    {line}" for line in rest)]
    return "\n".join(map(escaped, lines))


def _report_failed_log(text: str, raised: BaseException) -> None:
    """A filter or handler of `logging` has raised, or a value has no text: say so on stderr."""
    with contextlib.suppress(BaseException):
        print(f"pybrpc: logging {text!r} raised {type(raised).__name__}", file=sys.__stderr__)
