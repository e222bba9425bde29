"""Bars: the few ratios and figures that say how good it is, and what is expected of each."""

from __future__ import annotations

from dataclasses import dataclass

from bench.measures import http, observing_calls, rtmp, streams_crowd
from bench.measures.latency import WITH, WITHOUT
from bench.samples import Cell, Samples, Spread

THREADS = (1, 8, 16, 64)

Cells = Cell | tuple[Cell, ...]
"""One, or several of which the best counts: that whose median is."""


@dataclass(frozen=True, slots=True)
class Bar:
    """`over`'s figure divided by `under`'s, or alone; at least, or at most, `limit`."""

    name: str
    limit: float
    over: Cells
    under: Cells | None = None
    figure: str = "calls_per_s"
    is_ceiling: bool = False

    @property
    def cells(self) -> list[Cell]:
        return [*all_of(self.over), *all_of(self.under or ())]

    def spread(self, samples: Samples) -> Spread | None:
        """The median of the rounds; `None` if something of it was not measured.

        Of several cells those that were not measured are left out.
        """
        over = self._best(self.over, samples)
        if over is None:
            return None
        if self.under is None:
            return samples.spread(over, self.figure)
        under = self._best(self.under, samples)
        ratios = under and samples.ratios(over, under, self.figure)
        return Spread.of(ratios) if ratios else None

    def _best(self, cells: Cells, samples: Samples) -> Cell | None:
        """`None` if none of them was measured."""
        medians = {
            cell: spread.median
            for cell in all_of(cells)
            if (spread := samples.spread(cell, self.figure))
        }
        choose = min if self.is_ceiling else max
        return choose(medians, key=medians.__getitem__, default=None)

    def is_met(self, spread: Spread) -> bool:
        return spread.median <= self.limit if self.is_ceiling else spread.median >= self.limit

    @property
    def expected(self) -> str:
        return f"{'<=' if self.is_ceiling else '>='} {self.limit:g}"


def all_of(cells: Cells) -> tuple[Cell, ...]:
    return cells if isinstance(cells, tuple) else (cells,)


def tasks(peer: str, in_flight: int) -> Cell:
    return Cell("asyncio", peer, str(in_flight))


def threads(peer: str, count: int) -> Cell:
    return Cell("threads", peer, str(count))


def types(count: int, *names: str) -> tuple[Cell, ...]:
    """Cells of several connection types of pybrpc, at that number of threads."""
    return tuple(threads(f"pybrpc-{name}" if name else "pybrpc", count) for name in names)


def size(peer: str) -> Cell:
    return Cell("sizes", peer, "1 MiB")


def bulk(peer: str) -> Cell:
    return Cell("bulk", peer, "1 MiB")


def field(peer: str) -> Cell:
    return Cell("sizes", peer, "1 MiB")


def stream(peer: str, count: int = 1) -> Cell:
    return Cell("streams-echo", f"streams-{peer}", str(count))


def pulled(peer: str) -> Cell:
    return Cell("streams-bulk", f"streams-{peer}", "1 MiB")


def thread_bars() -> list[Bar]:
    """Callers that block: the best of the connection types, and each of them."""
    all_types, fixed_types, cpu = ("", "pooled", "auto"), ("", "pooled"), "client_cpu_us"
    found = []
    for count in THREADS:
        best = types(count, *all_types)
        auto, bare = threads("pybrpc-auto", count), threads("socket-to-pybrpc", count)
        start = f"threads_{count}"
        found.append(Bar(f"{start}_vs_bare_socket", 0.85 if count == 1 else 0.6, best, bare))
        if count > 1:
            found.append(Bar(f"{start}_vs_thriftpy2", 1.2, best, threads("thriftpy2", count)))
        found += [
            Bar(f"{start}_auto_vs_best", 0.9, auto, types(count, *fixed_types)),
            Bar(f"{start}_auto_vs_single", 1, auto, threads("pybrpc", count)),
        ]
    best, bare = types(8, *all_types), threads("socket-to-pybrpc", 8)
    fields = tuple(size(cell.peer) for cell in best)
    return [
        Bar("threads_1_vs_grpcio", 3, threads("pybrpc", 1), threads("grpcio", 1)),
        Bar("threads_8_vs_grpcio", 6, threads("pybrpc", 8), threads("grpcio", 8)),
        Bar("threads_64_vs_grpcio", 9, threads("pybrpc", 64), threads("grpcio", 64)),
        *found,
        Bar("threads_8_client_cpu_us", 60, best, None, cpu, is_ceiling=True),
        Bar("threads_8_client_cpu_vs_bare_socket", 2, best, bare, cpu, is_ceiling=True),
        Bar("field_1MiB_vs_thriftpy2", 1, fields, size("thriftpy2")),
        Bar("attachment_1MiB_vs_bare_socket", 0.8, bulk("pybrpc-attachment"), bulk("socket")),
    ]


def stream_bars() -> list[Bar]:
    """Bars of streams: one message at a time (`aio`), and lists of them (`lists`)."""
    found = []
    for name, ours in (("aio", "aio"), ("lists", "aio-lists")):
        found += [
            Bar(f"streams_{name}_vs_grpc_aio", 20, stream(ours), stream("grpc.aio")),
            Bar(f"streams_{name}_vs_websockets", 4, stream(ours), stream("websockets")),
            Bar(f"streams_{name}_vs_cpp", 0.5, stream(ours), stream("brpc-cpp")),
            Bar(f"streams_{name}_64_vs_1", 1, stream(ours, 64), stream(ours)),
        ]
    return [
        *found,
        Bar("streams_1MiB_vs_bare_socket", 0.7, pulled("threads"), pulled("socket")),
        Bar(
            "streams_with_slow_reader_vs_without",
            0.9,
            Cell("streams-crowd", "streams-aio", streams_crowd.WITH),
            Cell("streams-crowd", "streams-aio", streams_crowd.WITHOUT),
        ),
    ]


def rtmp_bars() -> list[Bar]:
    """The processor time of a relay that skips no frame; one that skips has no figure."""
    return [
        Bar(
            f"rtmp_{players}_players_cpu_vs_nginx",
            3,
            Cell("rtmp", rtmp.RELAY, players),
            Cell("rtmp", rtmp.NGINX, players),
            "player_cpu_us",
            is_ceiling=True,
        )
        for players in rtmp.MEASURE.points
    ]


def http_bars() -> list[Bar]:
    """Requests a second, and the processor time of the server: on a machine that is shared, or has
    fewer processors than wrk and the server could use, the second one counts. Theirs is the
    dividend there, so a ratio means the same in both."""
    found = []
    for task, theirs, limit in (
        ("echo", "fastapi", 4),
        ("echo", "granian", 1),
        ("echo", "brpc-cpp", 0.4),
        ("text", "protocol", 0.8),
    ):
        ours, other = (
            Cell(f"http-{task}", f"http-{name}", http.SAME) for name in ("pybrpc", theirs)
        )
        name = f"http_{task}_vs_{theirs.replace('-', '_')}"
        found += [
            Bar(name, limit, ours, other),
            Bar(f"{name}_by_cpu", limit, other, ours, "server_cpu_us"),
        ]
    return found


def observing_bars() -> list[Bar]:
    """Costs of metrics, traces and pages: ratios to calls without them."""
    found = []
    for name, limit, over, under in (
        ("metrics", 1.03, observing_calls.COUNTED, observing_calls.UNCOUNTED),
        ("rpcz", 1.05, observing_calls.TRACED, observing_calls.COUNTED),
    ):
        for side in ("server", "client"):
            found += [
                Bar(
                    f"{name}_{side}_{figure}",
                    limit,
                    Cell(measure, over, observing_calls.POINT),
                    Cell(measure, under, observing_calls.POINT),
                    f"{side}_{figure}",
                    is_ceiling=True,
                )
                for measure, figure in (
                    ("observing-instructions", "instructions"),
                    ("observing-calls", "cpu_us"),
                )
            ]
    for name, peer in (("scrape", "pybrpc-aio"), ("scrape_5000", "pybrpc-aio-variables")):
        cell = Cell("observing-scrape", peer, "each second")
        found += [
            Bar(f"{name}_each_second_{figure}", 2, cell, None, figure, is_ceiling=True)
            for figure in ("more_cpu_percent", "fewer_calls_percent")
        ]
    for name, peer, path in (
        ("scrape", "pybrpc", "/metrics"),  # 2 % of a second
        ("scrape_5000", "pybrpc-variables", "/metrics"),
        ("vars_5000", "pybrpc-variables", "/vars"),
    ):
        cell = Cell("observing-pages", peer, path)
        found += [
            Bar(f"{name}_{figure}", 20_000, cell, None, figure, is_ceiling=True)
            for figure in ("page_us", "server_cpu_us")
        ]
    return found


def bars(is_plain: bool) -> list[Bar]:
    """`is_plain`: pybrpc has no compiled modules here, so pybrpc-aio is the plain one."""
    plain = "pybrpc-aio" if is_plain else "pybrpc-plain-aio"
    ours, p99 = tasks("pybrpc-aio", 64), "p99_us"
    return [
        Bar("asyncio_64_vs_grpc_aio", 20, ours, tasks("grpc.aio", 64)),
        Bar("asyncio_512_vs_grpc_aio", 25, tasks("pybrpc-aio", 512), tasks("grpc.aio", 512)),
        Bar(
            "callbacks_512_vs_grpc_aio",
            50,
            Cell("callbacks", "pybrpc-callbacks", "512"),
            Cell("callbacks", "grpc.aio", "512"),
        ),
        Bar("plain_asyncio_64_vs_grpc_aio", 6, tasks(plain, 64), tasks("grpc.aio", 64)),
        *thread_bars(),
        Bar(
            "uvloop_64_vs_bare_protocol",
            0.7,
            tasks("pybrpc-uvloop", 64),
            tasks("protocol-uvloop", 64),
        ),
        Bar("asyncio_64_client_cpu_us", 25, ours, None, "client_cpu_us", True),
        Bar("asyncio_64_server_cpu_us", 25, ours, None, "server_cpu_us", True),
        Bar("asyncio_64_messages_per_write", 10, ours, None, "messages_per_write"),
        Bar("tuned_field_1MiB_vs_thriftpy2", 1, field("pybrpc-tuned"), field("thriftpy2")),
        Bar(
            "p99_with_1_percent_slow_vs_without",
            1.3,
            Cell("latency", "pybrpc", WITH),
            Cell("latency", "pybrpc", WITHOUT),
            p99,
            True,
        ),
        *stream_bars(),
        *rtmp_bars(),
        *http_bars(),
        *observing_bars(),
    ]


def cells_of_bars(all_bars: list[Bar]) -> list[Cell]:
    """The measurements that the bars need; those of a point come together."""
    cells = dict.fromkeys(cell for bar in all_bars for cell in bar.cells)
    points = list(dict.fromkeys((cell.measure, cell.point) for cell in cells))
    return sorted(cells, key=lambda cell: points.index((cell.measure, cell.point)))
