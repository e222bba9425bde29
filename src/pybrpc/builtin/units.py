"""Numbers for people: times, sizes, durations."""

from __future__ import annotations

import time


def time_text(seconds: float, digits: int = 6) -> str:
    """Seconds since the epoch as C++ bRPC prints them: "2026/11/29-07:06:42.714715"."""
    whole = int(seconds // 1)
    text = time.strftime("%Y/%m/%d-%H:%M:%S", time.localtime(whole))
    if not digits:
        return text
    fraction = min(int((seconds - whole) * 10**digits), 10**digits - 1)
    return f"{text}.{fraction:0{digits}d}"


def duration_text(seconds: float) -> str:
    """ "1.25 s", "3 m 20 s", "2 d 4 h"."""
    if seconds < 0:
        return f"-{duration_text(-seconds)}"
    if seconds < 0.0995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, left = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {left} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} m"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def size_text(size_bytes: float) -> str:
    """ "12 B", "1.5 KiB", "230 MiB"."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1000:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.4g} TiB"


def count_text(number: float) -> str:
    """ "1,234,567"; six digits of other numbers."""
    return f"{number:,}" if isinstance(number, int) else f"{number:.6g}"


def micros_text(micros: float) -> str:
    """Microseconds, in the unit that suits."""
    if micros < 1000:
        return f"{micros:.4g} µs"
    return f"{micros / 1000:.4g} ms" if micros < 1_000_000 else f"{micros / 1e6:.4g} s"
