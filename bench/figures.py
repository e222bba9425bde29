"""Figures: what one measurement gives, by name; and how each of them is shown."""

from __future__ import annotations

from dataclasses import dataclass

Figures = dict[str, float]
"""The names are those of SHOWN, and "calls": how many were counted."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure for people: its title, with the unit, and what it is divided by for that."""

    title: str
    divisor: float = 1.0


SHOWN: dict[str, Shown] = {
    "calls_per_s": Shown("1000 calls/s", 1000),
    "client_cpu_us": Shown("processor time per call in the client, µs"),
    "server_cpu_us": Shown("processor time per call in the server(s), µs"),
    "messages_per_write": Shown("requests per writing system call of the client"),
    "messages_per_read": Shown("answers per reading system call of the client"),
    "p50_us": Shown("50 % within, ms", 1000),
    "p90_us": Shown("90 % within, ms", 1000),
    "p99_us": Shown("99 % within, ms", 1000),
    "p999_us": Shown("99.9 % within, ms", 1000),
    "max_us": Shown("all within, ms", 1000),
    "late_percent": Shown("sent more than 1 ms late, %"),
    "longest_us": Shown("longest, ms", 1000),
    "player_cpu_us": Shown("processor time of the server for a second of a player, µs"),
    "server_instructions": Shown("1000 instructions per call in the server", 1000),
    "client_instructions": Shown("1000 instructions per call in the client", 1000),
    "more_cpu_percent": Shown("more processor time per call in the server, %"),
    "fewer_calls_percent": Shown("fewer calls/s, %"),
    "page_us": Shown("from the request for a page to the end of the answer, ms", 1000),
    "page_bytes": Shown("size of the page, kB", 1000),
    "import_us": Shown("processor time of a process that imports it, ms", 1000),
    "modules": Shown("modules that it has then"),
    "refused_percent": Shown("refused (EOVERCROWDED), %"),
}


def digits(number: float) -> str:
    """Three of them, no more."""
    return f"{number:.0f}" if abs(number) >= 1000 else f"{number:#.3g}".rstrip(".")
