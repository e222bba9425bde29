"""RETIRED_WORDS: names and words that the project no longer uses, and what to write instead.

The spelling of a key decides where it is found:

    word        in text, in the plural too, and as a part of an identifier: my_word, MyWord
    two words   in text, one after the other
    a_name      the whole identifier, in code and in text; leading underscores don't count
    name()      the whole identifier, in code and after a backtick: in text the word is ordinary
    Prefix*     at the beginning of an identifier
"""

from __future__ import annotations

FOREIGN_NAMES = frozenset({"OnRPCEndDrivesRatioDownAndReAllows"})
"""Identifiers quoted from other projects, here bRPC's tests. They may contain retired words."""

OLD_PUBLIC_NAMES = frozenset(
    {"attend", "is_crowded", "pauses_reads_when_crowded", "post_last", "unattend"}
)
"""Public names that still work, with a warning, until a later release removes them."""

_POLL = "poll, run; the thread that polls, PollerRole"

RETIRED_WORDS: dict[str, str] = {
    "storey": "layer",
    "seat": "PollerRole: the poller role, to poll",
    "driver": _POLL,
    "drive": _POLL,
    "driven": _POLL,
    "driving": _POLL,
    "sit down": "acquire the poller role",
    "sits down": "acquires the poller role",
    "take_for_good": "acquire_blocking",
    "preside": "run_loop",
    "relief": "StandbyPoller, standby",
    "relieve": "hand over to the standby thread",
    "relieved": "handed over to the standby thread",
    "errand": "InlineTask, inline task",
    "run_aside": "InlineTask.run",
    "stand_by": "wait_for_handover",
    "step_aside": "begin_inline",
    "come_back": "end_inline; in the writer _retry_cut_list",
    "hasten": "hand_over_now",
    "is_attended": "has_background_work",
    "turnstile": "WakeSignal, or OnceFlag",
    "nap": "wait, WakeSignal",
    "napping": "waiting",
    "bell": "WakeSignal",
    "rouse": "WakeSignal.set, wake",
    "roused": "woken",
    "WakeChain": "ChainedWakeups",
    "wake_chain": "ChainedWakeups",
    "Sleeper": "BlockedCaller",
    "LastPosts": "ShutdownQueue",
    "last_posts": "shutdown_queue",
    "run_last": "run_cleanup",
    "parking": "WritableWait",
    "parked": "waiting until the socket is writable (is_waiting)",
    "roomy": "on_below_low_water",
    "crowded": "is_overcrowded, overcrowded",
    "swamped": "exceeds_hard_limit",
    "is_shut_out": "rejected_by_process_limit",
    "gentle": "graceful",
    "gently": "gracefully",
    "last_words": "final_data",
    "on_stands": "on_established",
    "puts_off": "_defers_write",
    "puts off": "defers",
    "is_going": "write_started",
    "shakes_hands": "needs_handshake",
    "give_messages": "dispatch_messages",
    "Place()": "WaitPoint (of a call), WorkerSlot (of a worker)",
    "ConnectionPlace": "ConnectionSlot",
    "take_out()": "try_claim",
    "give_back()": "release",
    "take_back()": "reclaim",
    "spare()": "connection_for_backup",
    "hears_of_free": "wants_idle_events",
    "tells_free": "_reports_idle",
    "on_free": "on_idle",
    "waits_out": "waits_for_ready",
    "goes_on_after": "_plan_next_attempt",
    "carry_on": "_attempt",
    "look_at_abort": "check_abort",
    "_look": "_on_timer",
    "forms()": "sync_calls",
    "aio_forms": "aio_calls",
    "LoopSide": "LoopBinding",
    "loop_side": "aio_calls, LoopBinding",
    "LoopWakes": "BatchedCallbacks",
    "loop_wakes": "aio_calls, BatchedCallbacks",
    "is_foreign": "crosses_threads",
    "AioCallOfThreads": "CrossThreadAioCall",
    "inbox": "unanswered",
    "outbox": "ResponseBatch",
    "outboxes": "ResponseBatch",
    "let_in": "admit",
    "why_refused": "rejection",
    "InPlace": "InlineRunner",
    "in_place": "inline_runner, inline",
    "submit_apart": "submit_dedicated",
    "drainer": "_active_worker",
    "quick_after": "inline_after_calls",
    "FEWEST_PROOFS": "MIN_FAST_CALLS",
    "crew": "WorkerGroup, worker group",
    "ServerRun": "RunningServer",
    "server_run": "running_server",
    "summed": "checksummed",
    "usual_frames": "fast_frames",
    "cut_usual": "parse_fast",
    "FREE_REFUSALS": "MAX_UNCOUNTED_SENDS",
    "TRUST": "MAX_ALLOCATION_FACTOR",
    "STEADY_S": "STABLE_AFTER_S",
    "Played*": "Fake...",
    "Stepping*": "Traced...",
    "told once": "notified exactly once",
}
