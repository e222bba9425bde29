"""/flags: options of the process that can be changed while it runs. Only a POST changes one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pybrpc.base.flag_values import FLAGS, AnyFlag, text_of_flag
from pybrpc.base.guard import SERVER
from pybrpc.base.held_flag import HeldFlag
from pybrpc.builtin import standard_flags as standard_flags
from pybrpc.builtin.form_token import POST_HEADER
from pybrpc.builtin.html import Child, Html, tag
from pybrpc.builtin.layout import form, html_page, link, path_of, path_text, table
from pybrpc.builtin.page import PageEntry, PageError, PageRequest, PageResponse
from pybrpc.builtin.server_view import ServerView
from pybrpc.metrics.wildcards import Wildcards

VALUE_FIELD = "value"
HOLDER_FIELD = "holder"
"""The name of somebody who has a flag be true for `SECONDS_FIELD`, or not any more: `HeldFlag`."""
SECONDS_FIELD = "seconds"
STILL_TRUE = "is still true"
"""Says that a flag is true although its holder has released it."""
NOT_HELD = "it was not held until now"
"""Says that the hold had ended before its holder released it."""


def show_flags(request: PageRequest, server: ServerView) -> PageResponse:
    """The flags that the path means; a POST to /flags/NAME sets its `value`."""
    path = path_text(request.path)
    if request.method == "POST":
        return _change(request, server, path)
    if "setvalue" in request.query:
        raise PageError(
            405,
            "a GET changes no flag: "
            f"curl -X POST -H '{POST_HEADER}: 1' -d value=VALUE {server.address}/flags/NAME",
            {"Allow": "POST"},
        )
    found = _found(path)
    if path and not found:
        raise PageError(404, f"Fail to find any flag by `{path[:128]}'")
    if "withform" in request.query and len(found) == 1:
        return _form_page(request, server, found[0])
    if request.wants_html:
        return _html(request, server, found)
    return PageResponse(_text(found))


def _found(path: str) -> list[AnyFlag]:
    try:
        wanted = Wildcards(path, "$")
    except ValueError as error:
        raise PageError(400, str(error)) from None
    return [flag for flag in FLAGS.all() if not path or wanted.match(flag.name)]


def _text(found: Sequence[AnyFlag]) -> str:
    lines = ["Name | Value | Description", "---------------------------------------"]
    lines += [f"{flag.name} (R) | {_value(flag)} | {flag.description}" for flag in found]
    return "\n".join([*lines, ""])


def _value(flag: AnyFlag) -> str:
    shown = flag.text()
    return shown if flag.is_default else f"{shown} (default:{text_of_flag(flag.default)})"


def _change(request: PageRequest, server: ServerView, name: str) -> PageResponse:
    """Set one flag. 403 if flags are immutable, 404 for an unknown one, 400 for a bad value."""
    if FLAGS.are_immutable:
        raise PageError(403, "flags are immutable in this process")
    flag = FLAGS.find(name)
    if flag is None:
        raise PageError(404, f"there is no flag `{name[:128]}'")
    fields = request.form()
    if VALUE_FIELD not in fields:
        raise PageError(400, f"the form has no field {VALUE_FIELD!r}")
    before = flag.text()
    try:
        message = _set(flag, fields)
    except (ValueError, TypeError) as error:
        raise PageError(400, f"{name} is not changed: {error}") from None
    SERVER.info("flag %s was changed from %s to %s by a page", name, before, flag.text())
    if request.wants_html:
        return _html(request, server, _found(""), message)
    return PageResponse(f"{message}\n")


def _set(flag: AnyFlag, fields: Mapping[str, str]) -> str:
    """Set a flag as a form says, and tell what it is now. ValueError, TypeError."""
    text, holder = fields[VALUE_FIELD], fields.get(HOLDER_FIELD)
    if holder is None:
        flag.set_text(text)
        return f"Set `{flag.name}' to {flag.text()}"
    if not isinstance(flag, HeldFlag):
        raise ValueError(f"it can't be held: leave out the field {HOLDER_FIELD!r}")
    if flag.parsed(text):
        seconds = _seconds_of(fields)
        flag.hold(holder, seconds)
        return f"Set `{flag.name}' to true for {seconds:g} seconds"
    was_held = flag.release(holder)
    said = f"Set `{flag.name}' to false"
    if flag.current():
        said = f"`{flag.name}' {STILL_TRUE}: its value is true, or another one holds it"
    return said if was_held else f"{said}; {NOT_HELD}"


def _seconds_of(fields: Mapping[str, str]) -> float:
    try:
        return float(fields.get(SECONDS_FIELD, ""))
    except ValueError:
        raise ValueError(f"the field {SECONDS_FIELD!r} must be a number of seconds") from None


def _html(
    request: PageRequest, server: ServerView, found: Sequence[AnyFlag], message: str = ""
) -> PageResponse:
    return html_page(
        request,
        server,
        "Flags",
        tag("p", message, class_="message") if message else None,
        table(("name", "value", "default", "type", "description"), [_row(each) for each in found]),
        tag("p", "A change holds until the process ends, and is not kept.", class_="note"),
    )


def _row(flag: AnyFlag) -> list[Child]:
    return [
        link(tag("code", flag.name), "flags", flag.name),
        _form(flag),
        tag("code", text_of_flag(flag.default)),
        flag.type_name,
        flag.description,
    ]


def _form_page(request: PageRequest, server: ServerView, flag: AnyFlag) -> PageResponse:
    if not request.wants_html:
        return PageResponse(_text([flag]))
    return html_page(
        request, server, flag.name, tag("p", flag.description, class_="note"), _form(flag)
    )


def _form(flag: AnyFlag) -> Html:
    """A form that sets a flag; none if flags are immutable."""
    if FLAGS.are_immutable:
        return tag("code", flag.text())
    label = f"value of {flag.name}"
    if flag.type_name == "bool":
        choices = [
            tag("option", each, value=each, selected=flag.text() == each)
            for each in ("true", "false")
        ]
        field = tag("select", choices, name=VALUE_FIELD, aria_label=label)
    else:
        field = tag(
            "input",
            type="text",
            name=VALUE_FIELD,
            value=flag.text(),
            aria_label=label,
            autocomplete="off",
        )
    changed = None if flag.is_default else tag("span", "changed", class_="pill warn")
    action = path_of("flags", flag.name)
    return form(action, tag("div", field, tag("button", "Set"), changed, class_="set"))


ENTRIES = (
    PageEntry(
        "flags",
        show_flags,
        "List all flags, and change them",
        methods=("GET", "POST"),
        tab=True,
        usage=(
            ("/flags/save_series", "List the flag"),
            (
                "/flags/save*;max_$*",
                "List multiple flags with glob patterns (Use $ instead of ? to match single "
                "character)",
            ),
            ("POST /flags/NAME value=VALUE", "Change a flag, which checks the value"),
        ),
    ),
)
