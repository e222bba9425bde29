"""Page aliasing: long blocks that some processors copy four times slower for where they lie.

The kernel copies what is written with `rep movsb`. AMD's Zen 3 and later take four times as long
for it when the target lies 1 to 15 bytes ahead of the source, whole pages not counted (glibc bug
30994 has more). While nothing else of a thread is on its way, Linux begins at the start of a page,
so a block behind n bytes goes to n of a page. malloc gives a large `bytes` object pages of its
own, and its bytes begin at 48 of them: behind the 49 to 63 bytes of many a request's header it is
slow. Microseconds for one write of 1 MiB into a TCP socket with room (EPYC Zen 4, Linux 6.18, tenth
part of 80 writes; the target so many bytes ahead of the source):

    -64   -8   -1    0    1    4    8   14   15   16   17   32   63
    101  103   97   99  362  384  388  375  362   83   95   88   87

Linux copies into pieces of 32 KiB and begins a new one when less than 32 bytes are left. So a first
write that leaves 24 of a piece moves the target of all that follows: 98 instead of 385. Where Linux
begins elsewhere, the guess is wrong and the second system call in vain.
"""

from __future__ import annotations

from collections.abc import Iterable

from pybrpc.iobuf.blocks import Block
from pybrpc.iobuf.user_data import address_of

LONG_BYTES = 256 * 1024
"""Shorter blocks are not worth a look."""

FIRST_BYTES = 32 * 1024 - 24
"""What the first of the two writes has."""

_PAGE = 4096
_SLOW_WITHIN = 16


def lie_badly(blocks: Iterable[Block]) -> bool:
    """Whether one write of the blocks copies a long one slowly, if the processor has the fault."""
    behind = 0
    for block in blocks:
        size = len(block)
        if size >= LONG_BYTES and 0 < (behind - address_of(block)) % _PAGE < _SLOW_WITHIN:
            return True
        behind += size
    return False


def part(blocks: Iterable[Block]) -> tuple[list[Block], list[Block]]:
    """What to write first, `FIRST_BYTES` of it, and what then."""
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
    """Whether the processor of this /proc/cpuinfo is one of those."""
    return "AuthenticAMD" in cpuinfo and " fsrm" in cpuinfo


def _read_cpuinfo() -> str:
    """Of the first processor."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            return file.read(8192)
    except OSError:
        return ""


HAS_FAULT = has_fault(_read_cpuinfo())
