"""Texts of servers in a terminal, which obeys nothing of them."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.peers.cli_server import cli_server
from tests.peers.command import command, in_terminal, run_command

pytestmark = pytest.mark.same_everywhere

OBEYED = "a\u009b31mRED\x7f\u202e\U000e0001"
HOSTILE = json.dumps({"message": OBEYED})
ESCAPED = r"a\u009b31mRED\u007f\u202e\udb40\udc01"
NO_RICH = (
    "import sys; sys.modules['rich'] = None; from pybrpc.cli.main import main; "
    "sys.exit(main(sys.argv[1:]))"
)
HELLO = '{"message": "hello"}'
MESSAGE = "conformance.EchoRequest"
PAGES = {
    "/not": "{not json \u009b",
    "/deep": "[" * 20000 + "]" * 20000,
    "/long": "9" * 5000,
    "/good": r'{"a": "\u009b31m"}',
    "/broken": r'"\u009b',
}


@pytest.fixture
def address() -> Iterator[str]:
    with cli_server() as served:
        yield served


def assert_harmless(text: str) -> None:
    assert not set(text) & (set(OBEYED) - set("a31mRED"))


@pytest.mark.parametrize(
    "start", [[sys.executable, "-m", "pybrpc"], [sys.executable, "-c", NO_RICH]]
)
@pytest.mark.parametrize("options", [[], ["--json"], ["--each"]])
def test_response_is_escaped(address: str, start: list[str], options: list[str]) -> None:
    arguments = [*start, "call", address, "EchoService.Echo", HOSTILE, *options]
    if "--each" in options:
        arguments = ["sh", "-c", 'x=$1; shift; echo "$x" | "$@"', "sh", HOSTILE, *arguments]
    status, shown = in_terminal(arguments)
    assert status == 0
    assert_harmless(shown)
    assert ESCAPED in shown


def test_escaped_json_means_the_same(address: str) -> None:
    done = run_command("call", address, "EchoService.Echo", HOSTILE)
    assert ESCAPED in done.out
    assert json.loads(done.out) == {"message": OBEYED}


def test_messages_of_a_stream_are_escaped(address: str) -> None:
    options = ("--stream", "--send-type", MESSAGE, "--receive-type", MESSAGE)
    done = run_command("call", address, "EchoService.Stream", HOSTILE, *options, stdin=HOSTILE)
    assert done.status == 0
    assert_harmless(done.out + done.err)
    assert json.loads(done.out) == {"message": OBEYED}


class Pages(BaseHTTPRequestHandler):
    """Pages that say that they are JSON; any other is an error with a hostile text."""

    def do_GET(self) -> None:
        text = PAGES.get(self.path)
        body = (OBEYED if text is None else text).encode()
        self.send_response(404 if text is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def pages() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("page", PAGES)
def test_page_that_is_no_good_json_is_shown_as_text(pages: str, page: str) -> None:
    status, shown = in_terminal(command("view", pages, page))
    assert status == 0
    assert "Traceback" not in shown
    assert_harmless(shown)
    assert len(shown) >= len(PAGES[page])


@pytest.mark.parametrize(("page", "status"), [("good", 0), ("not", 0), ("nothing", 1)])
def test_page_and_error_for_machines_are_escaped(pages: str, page: str, status: int) -> None:
    found, shown = in_terminal(command("view", pages, page, "--json"))
    assert found == status
    assert_harmless(shown)
    assert shown.startswith("{")


SHOWN, HIDDEN = "\x1b[?25h", "\x1b[?25l"
"""Sequences that show the cursor, and hide it."""
OTHER, FIRST = "\x1b[?1049h", "\x1b[?1049l"
"""And those that show another screen, and the first one again."""


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
@pytest.mark.parametrize("arguments", [["top"], ["view", "--watch", "600"]], ids=["top", "view"])
def test_terminal_is_as_before_after_a_signal(
    address: str, arguments: list[str], number: int, status: int
) -> None:
    name, *options = arguments
    found, shown = in_terminal(command(name, address, *options), number, OTHER.encode())
    assert found == status
    assert shown.rfind(HIDDEN) < shown.rfind(SHOWN)
    assert -1 < shown.rfind(OTHER) < shown.rfind(FIRST)
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_press_prints_its_table_after_a_signal(address: str, number: int, status: int) -> None:
    arguments = command("press", address, "EchoService.Echo", HELLO, "--duration", "600")
    found, shown = in_terminal(arguments, number, b"calls/s (plot")
    assert found == status
    assert -1 < shown.rfind(HIDDEN) < shown.rfind(SHOWN)
    assert "p99.99" in shown
    assert "Traceback" not in shown


def test_signal_that_is_ignored_from_the_start_ends_nothing(address: str) -> None:
    """As with nohup."""
    arguments = command("press", address, "EchoService.Echo", HELLO, "--duration", "1")
    ignoring = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *arguments]
    status, shown = in_terminal(ignoring, signal.SIGHUP, b"calls/s (plot")
    assert status == 0
    assert "p99.99" in shown


@pytest.mark.parametrize(
    "arguments", [("view", "health", "--watch", "0.01"), ("top", "--interval", "0.01")]
)
def test_dumb_terminal_shows_one_text_below_the_other(
    address: str, arguments: tuple[str, ...]
) -> None:
    name, *options = arguments
    dumb = ["env", "TERM=dumb", *command(name, address, *options, "--count", "2")]
    status, shown = in_terminal(dumb)
    assert status == 0
    assert shown.count("OK" if name == "view" else "0 running") == 2
    assert "\x1b" not in shown
