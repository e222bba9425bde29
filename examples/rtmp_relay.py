"""A relay of RTMP: one program publishes live video, many play it.

    python examples/rtmp_relay.py [--listen 127.0.0.1:1935] [--record DIR] [--every SECONDS]

It prints a line for each event, and statistics at SIGUSR1 or every few seconds. Ctrl-C ends it:
players receive the end of their streams, and recordings are completed.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import threading

import pybrpc
from pybrpc.rtmp import RelayEvent, RelayStreamStatistics, RtmpRelay


def show_event(event: RelayEvent) -> None:
    print(event, flush=True)


def show_statistics(relay: RtmpRelay) -> None:
    statistics = relay.statistics()
    if not statistics.streams:
        print("no streams", flush=True)
    for stream in statistics.streams:
        print(described(stream), flush=True)


def described(stream: RelayStreamStatistics) -> str:
    skipping = sum(player.is_skipping for player in stream.players)
    return (
        f"{stream.name}: {' and '.join(stream.codecs) or 'nothing yet'} from "
        f"{stream.publisher or 'nobody'} at {stream.bits_per_s / 1e6:.2f} Mbit/s, "
        f"{len(stream.players)} players, {skipping} of them too slow, "
        f"{stream.frames_sent} frames sent, {stream.frames_skipped} skipped"
    )


def show_use(address: str) -> None:
    url = f"rtmp://{address}/live/stream"
    print(f"relaying at {address}; with ffmpeg:")
    print(f"    publish: ffmpeg -re -i FILE -c copy -f flv {url}")
    print(f"    test:    ffmpeg -re -f lavfi -i testsrc -c:v libx264 -g 50 -f flv {url}")
    print(f"    play:    ffplay {url}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="A relay of RTMP.")
    parser.add_argument("--listen", default="127.0.0.1:1935", metavar="HOST:PORT")
    parser.add_argument("--record", metavar="DIR", help="write what is published to this folder")
    parser.add_argument("--every", type=float, metavar="SECONDS", help="print statistics so often")
    parser.add_argument(
        "--grace",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="how long players wait for a publisher that has gone",
    )
    options = parser.parse_args()
    logging.basicConfig(format="%(levelname)s %(message)s")
    ends, wakes = threading.Event(), threading.Event()

    def on_signal(number: int, frame: object) -> None:
        if number != getattr(signal, "SIGUSR1", None):
            ends.set()
        wakes.set()

    with RtmpRelay(reconnect_grace=options.grace, on_event=show_event) as relay:
        if options.record:
            relay.record(options.record)
        server = pybrpc.Server(rtmp_service=relay)
        address = server.start(options.listen)
        for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
            with contextlib.suppress(AttributeError):
                signal.signal(getattr(signal, name), on_signal)
        show_use(str(address))
        while not ends.is_set():
            if wakes.wait(options.every) and ends.is_set():
                break
            wakes.clear()
            show_statistics(relay)
        server.stop()
        server.join()
    print("ended", flush=True)


if __name__ == "__main__":
    main()
