"""The pictures of pages that the documentation shows.

make pictures, or python -m tests.peers.pictures [--seconds 70] [FOLDER]

They are taken in Chromium of a server that is called for some time, so that plots have something
to show; pngquant, of Debian, makes the files small.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pybrpc
from tests.peers.browser import DARK_DESKTOP, DESKTOP, PHONE, Browser
from tests.peers.shop import open_shop

DOCS = Path(__file__).parents[2] / "docs" / "images"
PLOTTED_S = 70.0
"""A plot shows a minute."""
SETTLED_S = 2.0
"""Plots are drawn anew each second."""
SCREENS = {"": DESKTOP, "-dark": DARK_DESKTOP, "-phone": PHONE}
MOST_BYTES = 120_000


class Shown(NamedTuple):
    """A page in the pictures."""

    name: str
    path: str
    height: int = DESKTOP.height


def pages_of(address: str) -> list[Shown]:
    """`{trace}` in a path is the newest trace with several calls."""
    stem = f"rpc_server_{address.rpartition(':')[2]}_shop_order_service_buy_"
    return [
        Shown("status", "status"),
        Shown("vars", f"vars/{stem}*?expand"),
        Shown("rpcz", "rpcz?trace={trace}"),
        Shown("connections", "connections", 560),
        Shown("flame", "{profile}"),
    ]


FIND_TRACE = """
fetch("/rpcz?console=0&max_scan=200").then(answer => answer.text()).then(text => {
  const page = new DOMParser().parseFromString(text, "text/html");
  const rows = [...page.querySelectorAll("tbody tr")];
  const row = rows.find(each => each.textContent.includes("OrderService.Buy"));
  return row.querySelector("td:last-child").textContent;
})
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.peers.pictures", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=DOCS)
    parser.add_argument("--seconds", type=float, default=PLOTTED_S, help="of calls before (70)")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args(arguments)
    with (
        open_shop(options.port, options.port + 1 if options.port else 0, 0.01) as server,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        Browser(Path(folder)) as browser,
    ):
        port = server.endpoint.port
        caller = [sys.executable, "-m", "tests.peers.shop", "call", str(port)]
        with subprocess.Popen(caller, stdin=subprocess.PIPE) as calling:
            take_all(browser, server, options.folder, options.seconds)
            assert calling.stdin is not None
            calling.stdin.close()


def take_all(browser: Browser, server: pybrpc.Server, folder: Path, seconds: float) -> None:
    """Take all pictures after so much time. The first look at a page starts its series."""
    base = f"http://{server.internal_endpoint}"
    browser.open(f"{base}/status")
    time.sleep(seconds)
    browser.open(f"{base}/hotspots/cpu?seconds=5")
    profile = browser.evaluate("location.pathname + location.search").lstrip("/")
    for page in pages_of(str(server.endpoint)):
        trace = browser.evaluate(FIND_TRACE)
        path = page.path.format(trace=trace, profile=profile)
        for suffix, screen in SCREENS.items():
            height = screen.height if screen.is_phone else page.height
            browser.open(f"{base}/{path}", screen._replace(height=height))
            time.sleep(SETTLED_S)
            write_small(folder / f"{page.name}{suffix}.png", browser.picture())


def write_small(path: Path, picture: bytes) -> None:
    """Write the picture with as few colours as one does not see. RuntimeError if it is large."""
    command = ["pngquant", "--quality=60-95", "--speed=1", "--strip", "-"]
    small = subprocess.run(command, input=picture, stdout=subprocess.PIPE, check=True).stdout
    path.write_bytes(small)
    print(f"{path}: {len(small):,} bytes", flush=True)
    if len(small) > MOST_BYTES:
        raise RuntimeError(f"{path} has more than {MOST_BYTES:,} bytes")


if __name__ == "__main__":
    main()
