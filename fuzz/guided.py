"""Fuzzing with feedback: libFuzzer, which sees by atheris what an input reaches.

It sees only Python code. Of compiled modules it sees nothing but what the plain ones around them
do, so run the plain form first: its inputs are kept, and are what the compiled form begins with.
"""

from __future__ import annotations

import gc
import hashlib
import importlib
import importlib.util
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fuzz.fuzz_target import FuzzTarget
from fuzz.unguided import HANG_S

RSS_LIMIT_MB = 1500


def has_atheris() -> bool:
    return importlib.util.find_spec("atheris") is not None


def fuzz(
    target: FuzzTarget, inputs: Sequence[bytes], seconds: float, seed: int, folder: Path
) -> None:
    """Ends the process: 0 for nothing found. What was found lies as `finding-*` in `folder`.

    Inputs that reach something new are kept in `folder` too, for the next run.
    """
    atheris: Any = importlib.import_module("atheris")
    _instrument(atheris)
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for data in inputs:
        (corpus / hashlib.sha1(data).hexdigest()).write_bytes(data)
    words = folder / "dictionary"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.dictionary))
    options = {
        "max_total_time": max(1, round(seconds)),
        "max_len": target.max_bytes,
        "seed": seed,
        "timeout": round(HANG_S),
        "rss_limit_mb": RSS_LIMIT_MB,
        "artifact_prefix": f"{folder}/finding-",
        "dict": words,
        "print_final_stats": 1,
    }
    arguments = ["fuzz", *(f"-{name}={value}" for name, value in options.items()), str(corpus)]
    atheris.Setup(arguments, target.check)
    atheris.Fuzz()


def _instrument(atheris: Any) -> None:
    """Every plain function of pybrpc, and of the targets, which tell what was read."""
    for thing in gc.get_objects():
        if isinstance(thing, types.FunctionType):
            package = (thing.__module__ or "").partition(".")[0]
            if package in ("pybrpc", "fuzz"):
                atheris.instrument_func(thing)


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)
