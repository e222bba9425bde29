"""pybrpc view: show a page of a server in the terminal."""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from typing import Any

from pybrpc.cli.arguments import add_timeout, add_tls, count, some_seconds
from pybrpc.cli.command import OK
from pybrpc.cli.ending import ended_by_signals
from pybrpc.cli.output import Output, printable, rich
from pybrpc.cli.pages import page, page_channel
from pybrpc.client.channel.http_response import HttpResponse

JSON_TYPE = "application/json"

EXAMPLE = """\
examples:
  pybrpc view 127.0.0.1:8000                        # the list of all pages
  pybrpc view 127.0.0.1:8000 status
  pybrpc view 127.0.0.1:8000 'vars/rpc_server_*_qps' --watch 1
  pybrpc view 127.0.0.1:8001 connections            # 8001: its internal port

A page that is not open to all is shown on the internal port of the server, and to addresses that
the server allows. What a page shows is text, of which nothing but line ends is obeyed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("server", metavar="SERVER", help="host:port or unix:path")
    parser.add_argument(
        "page", nargs="?", default="", metavar="PAGE", help='such as "vars/NAME" (the list of all)'
    )
    parser.add_argument(
        "--watch", type=some_seconds, metavar="SECONDS", help="show it again every so often"
    )
    parser.add_argument(
        "-n", "--count", type=count, metavar="N", help="with --watch: so many times (no limit)"
    )
    # A profile takes as long as it is asked to.
    add_timeout(parser, 60.0)
    add_tls(parser)


def run(options: argparse.Namespace, output: Output) -> int:
    """Show the page, once or again and again."""
    path = f"/{options.page.lstrip('/')}"
    with page_channel(options.server, options) as channel:
        if options.watch is None:
            show(path, page(channel, path), output)
            return OK
        rounds = 0
        with Screen(output) as screen:
            while True:
                response = page(channel, path)
                if output.is_json:
                    show(path, response, output)
                else:
                    screen.show(text_of(response))
                rounds += 1
                if rounds == options.count:
                    return OK
                time.sleep(options.watch)


def show(path: str, response: HttpResponse, output: Output) -> None:
    """Print a page."""
    text = text_of(response)
    if not output.is_json:
        if response.headers.content_type == JSON_TYPE:
            output.json_text(text)
        else:
            output.line(text.rstrip("\n"))
        return
    facts = {"page": path, "content_type": response.headers.content_type}
    output.value({**facts, "text": response.text()})


def text_of(response: HttpResponse) -> str:
    """The text of a page, without what a terminal would obey; JSON in several lines."""
    text = printable(response.text())
    if response.headers.content_type == JSON_TYPE:
        try:
            return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            pass
    return text


class Screen:
    """Shows one text in the place of the other, for `with`; where no person looks, below it.

    The terminal is as before at the end, also if a signal ends the command.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._live: Any = None
        self._is_changed = True
        """Whether the terminal may have to be set right: a signal may come while rich begins."""
        self._stack = contextlib.ExitStack()
        # On a dumb terminal rich shows nothing in the place of something else.
        if output.is_terminal and not output.console.is_dumb_terminal:
            live = rich("live").Live
            self._live = live(console=output.console, screen=True, auto_refresh=False)

    def __enter__(self) -> Screen:
        if self._live is not None:
            with contextlib.ExitStack() as stack:
                stack.enter_context(ended_by_signals())
                stack.callback(self._set_terminal_right)
                self._live.start()
                stack.callback(self._stop)
                self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _stop(self) -> None:
        self._live.stop()
        self._is_changed = False

    def _set_terminal_right(self) -> None:
        if self._is_changed:
            self._output.console.set_alt_screen(False)
            self._output.console.show_cursor(True)

    def show(self, what: object) -> None:
        """Show a text, or a thing that rich can show."""
        if self._live is not None:
            shown = rich("text").Text(what) if isinstance(what, str) else what
            self._live.update(shown, refresh=True)
        elif isinstance(what, str):
            self._output.line(what.rstrip("\n"))
            self._output.line()
        else:
            self._output.console.print(what)
            self._output.line()
