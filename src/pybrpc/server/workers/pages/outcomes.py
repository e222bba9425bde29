"""The answers of several workers as one; some of them may be missing, or nonsense."""

from __future__ import annotations

from pybrpc.builtin.page import PageResponse
from pybrpc.metrics.merged_variables import merged_registry
from pybrpc.metrics.registry import Registry
from pybrpc.server.workers.pages.asking import Answers, AskedWorker
from pybrpc.server.workers.pages.messages import PageAnswer

UNANSWERED_HEADER = "X-Pybrpc-Unanswered"
"""Names the workers that have not answered, where the page has no place for that."""


def merged_answers(answers: Answers) -> tuple[Registry | None, list[str]]:
    """The registry of all answers to VARIABLES, or `None` without any; and the names of workers
    that have sent none, each with the reason."""
    bodies: dict[AskedWorker, bytes] = {}
    failures: list[str] = []
    for worker, answer in answers.items():
        status, text = outcome_of(answer)
        if isinstance(answer, PageAnswer) and status == 200:
            bodies[worker] = answer.body
        else:
            failures.append(f"{worker.name}: {text.strip()}")
    try:
        return (merged_registry(bodies.values()) if bodies else None), failures
    except ValueError:
        pass  # One of them has sent nonsense: leave that one out.
    good: list[bytes] = []
    for worker, body in bodies.items():
        try:
            merged_registry([*good, body])
        except ValueError as error:
            failures.append(f"{worker.name}: {error}")
        else:
            good.append(body)
    return (merged_registry(good) if good else None), failures


def outcome_of(answer: PageAnswer | str) -> tuple[int, str]:
    """The status, and the text, of an answer; 504 of none."""
    if isinstance(answer, str):
        return 504, answer
    return answer.status, "done" if answer.status == 303 else answer.text()


def noting(failures: list[str], response: PageResponse) -> PageResponse:
    if failures:
        text = "; ".join(failures)
        plain = "".join(each if each.isascii() and each.isprintable() else "?" for each in text)
        response.headers[UNANSWERED_HEADER] = plain[:1000]
    return response
