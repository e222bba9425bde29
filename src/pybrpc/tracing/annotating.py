"""annotate: a text with its time for the span of the running code. After bRPC's TRACEPRINTF."""

from __future__ import annotations

import time

from pybrpc.base.checked_options import checked_text
from pybrpc.tracing.switch import current_span


def annotate(text: str) -> bool:
    """Add `text`, with the present time, to the span of the call whose handler the running code is
    part of. False if there is none, it has ended, or it has too many.

    Works in tasks that the handler has started, in `asyncio.to_thread`, and in threads that run in
    a copy of its context. A span takes 64 annotations; of each, the first 1,024 characters. All
    who may look at traces can read them: no secrets here. TypeError if `text` is no string.
    """
    checked_text("text", text)
    span = current_span()
    return span is not None and span.annotate(text, time.monotonic())
