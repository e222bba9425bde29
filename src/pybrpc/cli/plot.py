"""Plots made of characters, for terminals."""

from __future__ import annotations

from collections.abc import Sequence

BARS = " ▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int) -> str:
    """The last `width` values, each as a bar; the highest one fills its place."""
    shown = values[-width:]
    highest = max(shown, default=0) or 1
    return "".join(BARS[round(max(value, 0) / highest * 8)] for value in shown)


def plot(values: Sequence[float], width: int, height: int) -> list[str]:
    """The last `width` values as bars of `height` lines, the upper line first."""
    shown = values[-width:]
    highest = max(shown, default=0) or 1
    eighths = [round(max(value, 0) / highest * 8 * height) for value in shown]
    return [
        "".join(BARS[min(8, max(0, each - 8 * row))] for each in eighths)
        for row in reversed(range(height))
    ]


def duration_text(us: float) -> str:
    """Microseconds for people: "870 µs", "12.3 ms", "1.20 s"."""
    if us < 1000:
        return f"{us:.0f} µs"
    if us < 100_000:
        return f"{us / 1e3:.2f} ms" if us < 10_000 else f"{us / 1e3:.1f} ms"
    return f"{us / 1e3:.0f} ms" if us < 1e6 else f"{us / 1e6:.2f} s"
