"""A program: RTMP by PyAV, whose FFmpeg is newer than that of most systems.

    python pyav_rtmp.py make FILE SECONDS   encode a test picture as HEVC, into an FLV file
    python pyav_rtmp.py push FILE URL       publish a file, as fast as it plays
    python pyav_rtmp.py serve URL FILE      listen for one publisher; write what it publishes
    python pyav_rtmp.py play URL FILE       play a stream until it ends; write it

FLV and RTMP carry HEVC in the form of enhanced RTMP: a flag in the first byte, then "hvc1".
"""

from __future__ import annotations

import itertools
import sys
import time
from fractions import Fraction
from typing import Any

import av

RATE = 25
X265 = {"preset": "ultrafast", "tune": "zerolatency", "x265-params": "keyint=25:log-level=error"}


def make(path: str, seconds: str) -> None:
    picture = f"testsrc=size=160x120:rate={RATE}"
    with av.open(picture, format="lavfi") as source, av.open(path, "w", format="flv") as target:
        stream: Any = target.add_stream("libx265", rate=RATE, options=X265)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 160, 120, "yuv420p", 60_000
        frames = itertools.islice(source.decode(video=0), round(float(seconds) * RATE))
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            target.mux(stream.encode(frame.reformat(format="yuv420p")))
        target.mux(stream.encode(None))


def push(path: str, url: str) -> None:
    with av.open(path) as source:
        copy(source, url, paced=True)


def serve(url: str, path: str) -> None:
    with av.open(url, options={"listen": "1", "timeout": "30"}) as source:
        copy(source, path, paced=False)


def play(url: str, path: str) -> None:
    with av.open(url) as source:
        copy(source, path, paced=False)


def copy(source: Any, target_name: str, paced: bool) -> None:
    with av.open(target_name, "w", format="flv") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        begin = time.monotonic()
        try:
            for packet in source.demux(source.streams.video[0]):
                if packet.dts is None:
                    continue  # the flush at the end
                if paced:
                    due = begin + float(packet.dts * packet.time_base)
                    time.sleep(max(0.0, due - time.monotonic()))
                packet.stream = stream
                target.mux(packet)
        except OSError:
            if paced:
                raise
            # A publisher that has left is an I/O error to a listening FFmpeg.


if __name__ == "__main__":
    {"make": make, "push": push, "serve": serve, "play": play}[sys.argv[1]](*sys.argv[2:])
