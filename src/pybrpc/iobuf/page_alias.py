"""Page aliasing: some processors copy long blocks at certain addresses four times slower.

The kernel copies written data with `rep movsb`. AMD's Zen 3 and later take four times as long for
it if the target is 1 to 15 bytes ahead of the source, not counting whole pages (see glibc bug
30994). If no other data of the thread is in flight, Linux copies to the start of a page, so a block
behind n other bytes is copied to offset n of a page. malloc gives a large `bytes` object pages of
its own, in which the bytes begin at offset 48: behind 49 to 63 bytes, the size of many request
headers, the copy is slow. Microseconds for one write of 1 MiB into a TCP socket with free buffer
space (EPYC Zen 4, Linux 6.18, first decile of 80 writes), by the number of bytes that the target is
ahead:

    -64   -8   -1    0    1    4    8   14   15   16   17   32   63
    101  103   97   99  362  384  388  375  362   83   95   88   87

Linux copies into pieces of 32 KiB and begins a new one if less than 32 bytes are left. So a first
write that leaves 24 bytes of a piece moves the target of all following bytes: 98 microseconds
instead of 385. If Linux begins elsewhere, the guess is wrong and the second system call useless.
"""

from __future__ import annotations

from collections.abc import Iterable

from pybrpc.iobuf.blocks import Block
from pybrpc.iobuf.user_data import address_of

LONG_BYTES = 256 * 1024
"""Shorter blocks are not checked."""

FIRST_BYTES = 32 * 1024 - 24
"""The size of the first of the two writes."""

_PAGE = 4096
_SLOW_WITHIN = 16


def lie_badly(blocks: Iterable[Block]) -> bool:
    """Whether one write would copy a long block slowly, on a processor with the fault."""
    behind = 0
    for block in blocks:
        size = len(block)
        if size >= LONG_BYTES and 0 < (behind - address_of(block)) % _PAGE < _SLOW_WITHIN:
            return True
        behind += size
    return False


def part(blocks: Iterable[Block]) -> tuple[list[Block], list[Block]]:
    """The blocks of the first write, which has `FIRST_BYTES`, and those of the second."""
    first: list[Block] = []
    rest: list[Block] = []
    room = FIRST_BYTES
    for block in blocks:
        view = memoryview(block)
        if room:
            first.append(view[:room])
        if len(view) > room:
            rest.append(view[room:])
        room = max(0, room - len(view))
    return first, rest


def has_fault(cpuinfo: str) -> bool:
    """Whether the processor with this /proc/cpuinfo has the fault."""
    return "AuthenticAMD" in cpuinfo and " fsrm" in cpuinfo


def _read_cpuinfo() -> str:
    """The entry of the first processor in /proc/cpuinfo; "" if it can't be read."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            return file.read(8192)
    except OSError:
        return ""


HAS_FAULT = has_fault(_read_cpuinfo())
