"""LogWatch: what was logged as an error, or raised where nobody could catch it."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from typing import Any, Self

from soak.on_purpose import is_on_purpose

MOST_TEXTS = 20
LOGGERS = ("pybrpc", "asyncio", "concurrent.futures")


class LogWatch(logging.Handler):
    """Inside `with` it hears the loggers of pybrpc and of Python's loops and futures.

    What a connection does may be worth a warning, but it is no error of this process. Exceptions
    that callbacks and handlers have raised on purpose are counted apart.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.count = 0
        self.on_purpose = 0
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if is_on_purpose(error):
            self.on_purpose += 1
        else:
            self._note(f"{record.name}: {record.getMessage()}", error)

    def __enter__(self) -> Self:
        for name in LOGGERS:
            logging.getLogger(name).addHandler(self)
        self._hooks = threading.excepthook, sys.unraisablehook
        threading.excepthook = self._on_thread_raised
        sys.unraisablehook = self._on_unraisable
        return self

    def __exit__(self, *exception: object) -> None:
        threading.excepthook, sys.unraisablehook = self._hooks
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(self)

    def _on_thread_raised(self, raised: threading.ExceptHookArgs) -> None:
        self._note(f"{raised.thread} ended", raised.exc_value)

    def _on_unraisable(self, raised: Any) -> None:
        self._note(f"{raised.err_msg or 'ignored in'} {raised.object!r}", raised.exc_value)

    def _note(self, text: str, error: BaseException | None) -> None:
        """`text`, with what was raised and from where."""
        self.count += 1
        if len(self.texts) >= MOST_TEXTS:
            return
        stack = "".join(traceback.format_exception(error)).strip() if error is not None else ""
        self.texts.append(f"{text}: {error!r}\n{stack}" if error is not None else text)
