"""CalledNames: the name of what a frame calls at this moment, such as "acquire".

It comes from the bytecode: a callee begins where its call begins in the source. So it is known for
functions in C too, which have no frame.
"""

from __future__ import annotations

import dis
from types import CodeType, FrameType

MAX_CODE_BYTES = 100_000
"""Longer functions are not looked into."""
MAX_CACHED_CALLS = 10_000
_CALLEES = frozenset(
    (
        "LOAD_ATTR",
        "LOAD_METHOD",
        "LOAD_GLOBAL",
        "LOAD_NAME",
        "LOAD_FAST",
        "LOAD_DEREF",
        "LOAD_FAST_BORROW",
        "LOAD_FAST_CHECK",
        "LOAD_SUPER_ATTR",
    )
)


def called_name(code: CodeType, offset: int) -> str:
    """The name of what the instruction at `offset` calls, such as "acquire"; "with" if it begins a
    `with`; "" if it calls nothing, or nothing with a name."""
    if len(code.co_code) > MAX_CODE_BYTES:
        return ""
    names: dict[tuple[int, int] | None, str] = {}
    current, previous = None, ""
    for found in dis.get_instructions(code):
        if found.offset > offset:
            break
        previous = "" if current is None else current.opname
        current = found
        start = _start(found)
        if start is not None and found.opname in _CALLEES:
            names[start] = str(found.argval)
    if current is None:
        return ""
    if current.opname == "BEFORE_WITH" or previous == "LOAD_SPECIAL":
        return "with"
    if not current.opname.startswith(("CALL", "PRECALL")):
        return ""
    return names.get(_start(current), "")


def _start(instruction: dis.Instruction) -> tuple[int, int] | None:
    """Where its source begins; `None` without positions (python -X no_debug_ranges)."""
    positions = instruction.positions
    if positions is None or positions.lineno is None or positions.col_offset is None:
        return None
    return positions.lineno, positions.col_offset


class CalledNames:
    """`called_name` of frames, each place computed once. One thread at a time."""

    def __init__(self) -> None:
        self._names: dict[tuple[CodeType, int], str] = {}

    def by(self, frame: FrameType) -> str:
        """The name of what the innermost frame of a thread calls."""
        code, offset = frame.f_code, frame.f_lasti
        name = self._names.get((code, offset))
        if name is None:
            name = called_name(code, offset)
            if len(self._names) < MAX_CACHED_CALLS:
                self._names[code, offset] = name
        return name
