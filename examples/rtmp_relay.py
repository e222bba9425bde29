"""A relay of RTMP: one program publishes live video, many play it.

    python examples/rtmp_relay.py [--listen 127.0.0.1:1935] [--record DIR] [--every SECONDS]
                                  [--grace SECONDS]

It prints a line for each event, and statistics at SIGUSR1 or every few seconds. Ctrl-C ends it:
players receive the end of their streams, and recordings are completed. If it can't start, it
prints the reason and ends with status 2.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import os
import signal
import sys
import threading

import pybrpc
from pybrpc.errors import PyBrpcError
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
    test = "-f lavfi -i testsrc -f lavfi -i sine -c:v libx264 -pix_fmt yuv420p -g 50 -c:a aac"
    print(f"relaying at {address}; with ffmpeg:")
    print(f"    publish: ffmpeg -re -i FILE -c copy -f flv {url}")
    print(f"    test:    ffmpeg -re {test} -f flv {url}")
    print(f"    play:    ffplay {url}", flush=True)


def seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return value


def pause_s(text: str) -> float:
    value = seconds(text)
    if not value:
        raise argparse.ArgumentTypeError("it would print without a pause")
    return value


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="A relay of RTMP.", epilog="SIGUSR1 prints statistics; Ctrl-C ends the relay."
    )
    parser.add_argument(
        "--listen",
        default="127.0.0.1:1935",
        metavar="HOST:PORT",
        help="the address of the server; port 0 is any free one (%(default)s)",
    )
    parser.add_argument(
        "--record", metavar="DIR", help="write what is published to this folder, which is made"
    )
    parser.add_argument(
        "--every", type=pause_s, metavar="SECONDS", help="print statistics so often (at SIGUSR1)"
    )
    parser.add_argument(
        "--grace",
        type=seconds,
        default=10.0,
        metavar="SECONDS",
        help="how long players wait for a publisher that has gone (%(default)s)",
    )
    return parser.parse_args()


def serve(options: argparse.Namespace) -> None:
    """Relay until a signal comes. PyBrpcError or OSError if it can't start."""
    ends, wakes = threading.Event(), threading.Event()

    def on_signal(number: int, frame: object) -> None:
        if number != getattr(signal, "SIGUSR1", None):
            ends.set()
        wakes.set()

    with RtmpRelay(reconnect_grace=options.grace, on_event=show_event) as relay:
        if options.record:
            os.makedirs(options.record, exist_ok=True)
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


def main() -> None:
    options = parse_arguments()
    logging.basicConfig(format="%(levelname)s %(message)s")
    try:
        serve(options)
    except (PyBrpcError, OSError) as error:
        print(f"rtmp_relay: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
