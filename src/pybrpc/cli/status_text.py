"""The page /status of a server, in Python or C++, back to numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

LATENCIES = ("latency", "latency_50", "latency_90", "latency_99", "latency_999", "max_latency")
SUMS = ("count", "qps", "error", "eps", "concurrency")
_FACT = re.compile(r"(\w+): ?(.*)")
_SERVICE = re.compile(r"\[(.+)\]")
_WORKER = re.compile(r"==== (.+) ====")
MAX_NUMBER = 1 << 63
"""Larger figures of a server are taken for this one: sums of them can be divided."""


@dataclass(slots=True)
class Status:
    """A server: its own figures, and those of its methods by full name."""

    facts: dict[str, str] = field(default_factory=dict)
    """The figures of the server, such as "connection_count"."""
    methods: dict[str, dict[str, int]] = field(default_factory=dict)
    workers: int = 0
    """How many processes have answered on one page; 0: it is the page of one."""

    def number(self, name: str) -> int:
        """A figure of the server; 0 if it is not there, or no number."""
        return _number(self.facts.get(name, ""))


def parse_status(text: str) -> Status:
    """The numbers of the page. Of several workers sums, and the largest latencies."""
    found: list[Status] = []
    status = Status()
    service, method, workers = "", "", 0
    for line in map(str.strip, text.splitlines()):
        worker, named, fact = _WORKER.fullmatch(line), _SERVICE.fullmatch(line), None
        if worker:
            workers += 1
            if workers > 1:
                found.append(status)
            status, service, method = Status(), "", ""
        elif named:
            service, method = named[1], ""
        elif (fact := _FACT.fullmatch(line)) and not (service and not method):
            if method:
                status.methods[method][fact[1]] = _number(fact[2])
            else:
                status.facts[fact[1]] = fact[2]
        elif service and (name := _method_in(line)):
            method = name if name.startswith("/") else f"{service}.{name}"
            status.methods[method] = {}
    return _merged([*found, status], workers)


def _method_in(line: str) -> str:
    """The name in "Echo (EchoRequest) returns (EchoResponse) @/echo", of which all but the name may
    be missing; "" if the line is none such. In one pass, however long a server makes the line."""
    name, _, rest = line.partition(" ")
    is_signature = rest.startswith("(") and ") returns (" in rest
    is_one_word = len(name.split()) == 1
    return name if is_one_word and (not rest or rest.startswith("@") or is_signature) else ""


def _merged(parts: Iterable[Status], workers: int) -> Status:
    first, *others = parts
    first.workers = workers
    for other in others:
        for name in ("connection_count", "concurrency", "non_service_error"):
            first.facts[name] = str(first.number(name) + other.number(name))
        for method, figures in other.methods.items():
            _add(first.methods.setdefault(method, {}), figures)
    return first


def _add(total: dict[str, int], figures: Mapping[str, int]) -> None:
    calls, more = total.get("qps", 0), figures.get("qps", 0)
    if calls + more:
        mean = total.get("latency", 0) * calls + figures.get("latency", 0) * more
        total["latency"] = round(mean / (calls + more))
    for name in SUMS:
        total[name] = total.get(name, 0) + figures.get(name, 0)
    for name in LATENCIES[1:]:
        total[name] = max(total.get(name, 0), figures.get(name, 0))


def _number(text: str) -> int:
    try:
        return max(-MAX_NUMBER, min(int(float(text)), MAX_NUMBER))
    except (ValueError, OverflowError):
        return 0
