"""The processes that the bench starts: a server, or a client that measures once.

python -m bench.child serve LIBRARY STYLE           prints its port; ends when stdin does
python -m bench.child call LIBRARY LOAD PORT WARM_UP_S MEASURE_S    prints calls per second
python -m bench.child redis LIBRARY LOAD PORT WARM_UP_S MEASURE_S   prints commands per second
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from bench import redis_peers
from bench.closed_loop import Window
from bench.loads import Load, Style
from bench.peers import peer_for


def serve(library: str, style_name: str) -> None:
    style = Style(style_name)
    peer_for(library, style).serve(style, say, sys.stdin.read)


def call(library: str, load_text: str, port: str, warm_up_s: str, measure_s: str) -> None:
    load = Load.parse(load_text)
    window = Window(float(warm_up_s), float(measure_s))
    say(peer_for(library, load.style).run_client(load, int(port), window))


def call_redis(library: str, load_text: str, port: str, warm_up_s: str, measure_s: str) -> None:
    load = redis_peers.RedisLoad.parse(load_text)
    window = Window(float(warm_up_s), float(measure_s))
    say(redis_peers.run_client(library, load, int(port), window))


def say(number: float) -> None:
    print(number, flush=True)


ROLES: dict[str, Callable[..., None]] = {"serve": serve, "call": call, "redis": call_redis}

if __name__ == "__main__":
    ROLES[sys.argv[1]](*sys.argv[2:])
