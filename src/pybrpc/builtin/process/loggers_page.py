"""The pages /loggers and /vlog: the levels of loggers, which a POST changes.

No logger is made here: names come from clients. Levels are read and set by the methods of Logger
itself, as a class of the user may have others.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from pybrpc.base.guard import escaped
from pybrpc.builtin.html import Html, tag
from pybrpc.builtin.layout import form, html_page, path_text, table
from pybrpc.builtin.page import PageEntry, PageError, PageRequest, PageResponse
from pybrpc.builtin.profiling.profile import MAX_NAME
from pybrpc.builtin.server_view import ServerView
from pybrpc.metrics.wildcards import Wildcards

MAX_LOGGERS = 2_000
"""Loggers that are shown."""
LEVELS = ("NOTSET", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
ROOT = "root"


@dataclass(frozen=True, slots=True)
class LoggerView:
    """A logger, with its levels."""

    name: str
    level: str
    """Its own level; NOTSET if that of its parent counts."""
    effective_level: str
    handlers: int
    is_disabled: bool


def logger_views() -> list[LoggerView]:
    """All loggers, by their names, the root first."""
    found = [_viewed(ROOT, logging.root)]
    known = dict(logging.Logger.manager.loggerDict)
    for name in sorted(known):
        entry = known[name]
        if isinstance(entry, logging.Logger):
            found.append(_viewed(name, entry))
    return found


def _viewed(name: str, entry: logging.Logger) -> LoggerView:
    try:
        return LoggerView(
            name,
            _level_name(entry.level),
            _level_name(logging.Logger.getEffectiveLevel(entry)),
            len(entry.handlers),
            bool(entry.disabled),
        )
    except BaseException:  # the attributes of a class of the user
        return LoggerView(name, "(unreadable)", "(unreadable)", 0, False)


def _level_name(level: int) -> str:
    return logging.getLevelName(level)[:MAX_NAME]


def set_level(name: str, level: str) -> None:
    """Set the level of the logger of that name: one of `LEVELS`, or a number from 0 to 1000.
    PageError (404) if there is no such logger, (400) for another level."""
    entry = logging.root if name == ROOT else logging.Logger.manager.loggerDict.get(name)
    if not isinstance(entry, logging.Logger):
        raise PageError(404, "there is no such logger: /loggers lists all")
    logging.Logger.setLevel(entry, level_of(level))


def level_of(text: str) -> int:
    """The number of a level. PageError (400) if it is none."""
    wanted = text.strip().upper()
    if wanted in LEVELS:
        return int(getattr(logging, wanted))
    if wanted.isascii() and wanted.isdigit() and len(wanted) <= 4 and int(wanted) <= 1000:
        return int(wanted)
    raise PageError(400, f"level must be one of {', '.join(LEVELS)}, or a number from 0 to 1000")


def show_loggers(request: PageRequest, server: ServerView) -> PageResponse:
    """`/loggers/PATTERNS`: the loggers, or those of these names. POST: the fields `logger` and
    `level` change a level, until the process ends."""
    if request.method == "POST":
        fields = request.form()
        name, level = fields.get("logger", ""), fields.get("level", "")
        set_level(name, level)
        if request.wants_html:
            return PageResponse("", status=303, headers={"Location": f"/{request.name}"})
        return PageResponse(f"{escaped(name)} : {_level_name(level_of(level))}\n")
    views = _matching(logger_views(), path_text(request.path))
    shown, left_out = views[:MAX_LOGGERS], max(len(views) - MAX_LOGGERS, 0)
    more = f"{left_out} more are not shown" if left_out else ""
    if request.wants_html:
        rows = [_row(request, view) for view in shown]
        heads = ("Logger", "In effect", "Handlers", "Its own level")
        return html_page(
            request, server, "Loggers", table(heads, rows, "--n-"), tag("p", more) if more else None
        )
    lines = [
        f"{escaped(view.name)} : {escaped(view.effective_level)}"
        + (f" (own level {escaped(view.level)})" if view.level != view.effective_level else "")
        + (" (disabled)" if view.is_disabled else "")
        for view in shown
    ]
    return PageResponse("\n".join([*lines, *([more] if more else [])]) + "\n")


def _matching(views: list[LoggerView], patterns: str) -> list[LoggerView]:
    if not patterns:
        return views
    try:
        wanted = Wildcards(patterns, "$")
    except ValueError as error:
        raise PageError(400, str(error)) from error
    return [view for view in views if wanted.match(view.name)]


def _row(request: PageRequest, view: LoggerView) -> tuple[Html | str | int, ...]:
    levels = LEVELS if view.level in LEVELS else (view.level, *LEVELS)
    choice = tag(
        "select",
        [tag("option", level, value=level, selected=level == view.level) for level in levels],
        name="level",
        aria_label=f"Level of {view.name}",
    )
    change = form(
        f"/{request.name}",
        tag("input", type="hidden", name="logger", value=view.name),
        choice,
        " ",
        tag("button", "Set", type="submit"),
    )
    state = " (disabled)" if view.is_disabled else ""
    return f"{view.name}{state}", view.effective_level, view.handlers, change


ENTRIES = (
    PageEntry("loggers", show_loggers, "Levels of loggers", methods=("GET", "POST")),
    PageEntry("vlog", show_loggers, "As /loggers", methods=("GET", "POST")),
)
