"""python -m fuzz.child TARGET SECONDS SEED FOLDER is-guided: one target, in a process of its own,
which libFuzzer ends in its own way."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from fuzz import guided, unguided
from fuzz.kept import first_inputs
from fuzz.targets import target_named


def main(arguments: Sequence[str]) -> int:
    name, seconds, seed, folder_name, is_guided = arguments
    target, folder = target_named(name), Path(folder_name)
    inputs = first_inputs(name, target)
    if is_guided == "True":
        guided.fuzz(target, inputs, float(seconds), int(seed), folder)
    timed = unguided.with_alarm(target)
    count, finding = unguided.fuzz(timed, inputs, float(seconds), int(seed))
    print(f"stat::number_of_executed_units: {count}", file=sys.stderr)
    if finding is None:
        return 0
    traceback.print_exception(finding.error)
    kind = "timeout" if isinstance(finding.error, unguided.HangError) else "error"
    (folder / f"finding-{kind}").write_bytes(finding.data)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
