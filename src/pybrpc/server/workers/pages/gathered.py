"""GatheredPages: the pages of the supervisor, which are those of all its workers.

`?worker=N` is the page of one worker. Without it variables and metrics are merged, health is that
of all, a POST reaches all workers, and of other pages there is one after the other, or for browsers
a list of links.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol
from urllib.parse import quote

from pybrpc.builtin.form_token import FORM_TOKEN
from pybrpc.builtin.html import tag
from pybrpc.builtin.index_page import show_index
from pybrpc.builtin.layout import html_page, table
from pybrpc.builtin.page import (
    HTML,
    Access,
    PageEntry,
    PageError,
    PageFunction,
    PageRequest,
    PageResponse,
)
from pybrpc.builtin.profiling.taking import seconds_of
from pybrpc.builtin.registry import PAGES
from pybrpc.builtin.server_view import ServerView
from pybrpc.builtin.vars_page import show_registry
from pybrpc.metrics.exposition.brpc_metrics import BRPC_METRICS_TYPE, to_brpc_metrics
from pybrpc.metrics.exposition.prometheus import expose
from pybrpc.metrics.registry import Registry
from pybrpc.metrics.snapshot import Snapshot
from pybrpc.server.workers.pages.asking import Answers, AskedWorker, ask
from pybrpc.server.workers.pages.messages import (
    METRICS,
    PAGE,
    VARIABLES,
    PageQuestion,
    TooLongError,
)
from pybrpc.server.workers.pages.metrics_of_workers import MetricsOfWorkers
from pybrpc.server.workers.pages.one_worker import WORKER_PARAMETER, of_one_worker, with_worker
from pybrpc.server.workers.pages.outcomes import merged_answers, noting, outcome_of
from pybrpc.server.workers.pages.shared_result import SharedResult
from pybrpc.server.workers.pages.workers_page import show_workers
from pybrpc.server.workers.supervisor_statistics import SupervisorStatistics

ANSWER_S = 5.0
"""Seconds in which a worker has to answer; a profile has its own time more."""

_OWN = ("css", "js", "favicon.ico")
_PROFILES = ("hotspots", "pprof")
"""One of all workers at once would be none of any, and costs each of them."""


class Workers(Protocol):
    """The workers of a supervisor. Any thread."""

    @property
    def slots(self) -> int:
        """How many there should be."""

    def asked_workers(self) -> list[AskedWorker]:
        """Those that have not ended."""

    def statistics(self) -> SupervisorStatistics:
        """Their counters."""

    def allowed_hosts(self) -> Iterable[str]:
        """Hosts that their servers name; none if all are allowed."""

    @property
    def metrics(self) -> MetricsOfWorkers:
        """Counts of all workers, those included that have ended."""


class GatheredPages:
    """Pages run in threads of their own; they wait for the workers there."""

    def __init__(self, workers: Workers, answer_s: float = ANSWER_S) -> None:
        self._workers = workers
        self._answer_s = answer_s
        # The numbers of a worker may be megabytes, and each question costs it time.
        self._snapshots = SharedResult(self._take_snapshots)
        self._variables = SharedResult(self._ask_variables)
        self._merged: Mapping[str, PageFunction] = {
            "vars": self._show_vars,
            "metrics": self._show_metrics,
            "brpc_metrics": self._show_brpc_metrics,
            "health": self._show_health,
            "readiness": self._show_health,
            "version": self._show_version,
        }

    def entries(self) -> dict[str, PageEntry]:
        """All pages, by name."""
        found = {
            name: entry if name in _OWN else dataclasses.replace(entry, function=self._show)
            for name, entry in PAGES.items()
        }
        found["workers"] = PageEntry(
            "workers",
            self._show_workers,
            "Worker processes: state, restarts, counters",
            Access.INTERNAL,
            tab=True,
            usage=(("/PAGE?worker=N", "The page of one worker"),),
        )
        return found

    # --- pages ---

    def _show(self, request: PageRequest, server: ServerView) -> PageResponse:
        if WORKER_PARAMETER in request.query:
            return self._show_one(request)
        if request.method == "POST":
            return self._change_all(request, server)
        if request.name in ("", "index"):
            return show_index(request, server)
        merged = self._merged.get(request.name)
        if merged is not None:
            return merged(request, server)
        if request.wants_html or request.name in _PROFILES:
            return self._list_workers(request, server)
        return self._show_each(request)

    def _show_workers(self, request: PageRequest, server: ServerView) -> PageResponse:
        return show_workers(request, server, self._workers.statistics(), self._workers.slots)

    def _show_one(self, request: PageRequest) -> PageResponse:
        """The page of `?worker=N`."""
        worker = self._worker_named(request.parameter(WORKER_PARAMETER))
        question = PageQuestion(PAGE, request, FORM_TOKEN.share())
        answer = self._ask([worker], question, _profile_s(request))[worker]
        if isinstance(answer, str):
            raise PageError(504, f"{worker.name}: {answer}")
        response = answer.response()
        if response.content_type == HTML:
            response.body = of_one_worker(answer.text(), worker.number)
        where = response.headers.get("Location", "")
        if where.startswith("/"):
            response.headers["Location"] = with_worker(where, worker.number)
        return response

    def _worker_named(self, text: str) -> AskedWorker:
        if not (text.isascii() and text.isdigit() and len(text) < 6):
            raise PageError(400, "worker must be the number of a worker; /workers lists them")
        number = int(text)
        found = [each for each in self._workers.asked_workers() if each.number == number]
        if found:
            return next((each for each in found if each.state == "serving"), found[0])
        if number < self._workers.slots:
            raise PageError(503, f"worker {number} does not run")
        raise PageError(404, f"there is no worker {number}; /workers lists them")

    def _change_all(self, request: PageRequest, server: ServerView) -> PageResponse:
        """A POST: 200 if all workers have done it, else the worst status."""
        text_alone = dataclasses.replace(request, wants_html=False)
        question = PageQuestion(PAGE, text_alone, FORM_TOKEN.share())
        asked = [each for each in self._workers.asked_workers() if each.state != "stopping"]
        answers = self._ask(asked, question, _profile_s(request))
        rows = [(worker.name, *outcome_of(answer)) for worker, answer in answers.items()]
        rows += [(f"worker {number}", 503, "it does not run") for number in self._missing()]
        worst = max((status for _, status, _ in rows), default=503)
        status = 200 if worst < 400 else worst
        if request.wants_html:
            content = table(("worker", "status", "answer"), rows, "-n-")
            return html_page(request, server, f"/{request.name}", content, status=status)
        lines = [f"{name}: {code} {text.strip()}\n" for name, code, text in rows]
        return PageResponse("".join(lines), status=status)

    def _list_workers(self, request: PageRequest, server: ServerView) -> PageResponse:
        """Links to the page of each worker."""
        url = _url_of(request)
        workers = self._workers.asked_workers()
        if not request.wants_html:
            lines = [f"{with_worker(url, each.number)} : {each.name}\n" for each in workers]
            return PageResponse("".join(["Ask one worker:\n", *lines]), status=400)
        rows = [
            (tag("a", each.name, href=with_worker(url, each.number)), each.state)
            for each in workers
        ]
        note = tag("p", "Each worker has such a page.", class_="note")
        content = table(("worker", "state"), rows)
        return html_page(request, server, f"/{request.name}", note, content)

    def _show_each(self, request: PageRequest) -> PageResponse:
        """The texts of all, each below a title."""
        answers = self._ask_all(PageQuestion(PAGE, request), _profile_s(request))
        parts = [
            f"==== {worker.name} ====\n\n{outcome_of(answer)[1]}\n"
            for worker, answer in answers.items()
        ]
        statuses = [outcome_of(answer)[0] for answer in answers.values()]
        return PageResponse("\n".join(parts), status=min(statuses, default=503))

    # --- merged pages ---

    def _show_vars(self, request: PageRequest, server: ServerView) -> PageResponse:
        if "series" in request.query:
            raise PageError(400, "each worker keeps its own series: add worker=N to the query")
        return self._of_variables(lambda registry: show_registry(request, server, registry))

    def _show_brpc_metrics(self, request: PageRequest, server: ServerView) -> PageResponse:
        return self._of_variables(
            lambda registry: PageResponse(to_brpc_metrics(registry), BRPC_METRICS_TYPE)
        )

    def _of_variables(self, show: Callable[[Registry], PageResponse]) -> PageResponse:
        registry, failures = self._variables.get()
        return noting(failures, show(registry))

    def _ask_variables(self) -> tuple[Registry, list[str]]:
        """The variables of all workers, and the names of those that have sent none."""
        answers = self._ask_all(PageQuestion(VARIABLES))
        registry, failures = merged_answers(answers)
        if registry is None:
            raise PageError(503, "; ".join(["no worker answers", *failures]))
        return registry, failures

    def _show_metrics(self, request: PageRequest, server: ServerView) -> PageResponse:
        merged, failures = self._snapshots.get()
        exposition = expose(merged, request.headers.get("accept", ""))
        return noting(failures, PageResponse(exposition.body, exposition.content_type))

    def _take_snapshots(self) -> tuple[Snapshot, list[str]]:
        """The metrics of all workers, and the names of those that have sent none. Runs once at a
        time, so that an older answer never comes after a newer one."""
        answers = self._ask_all(PageQuestion(METRICS))
        metrics = self._workers.metrics
        failures = metrics.take(answers)
        return metrics.merged(answers, self._workers.statistics().deaths), failures

    def _show_health(self, request: PageRequest, server: ServerView) -> PageResponse:
        """200 if all workers serve and say so; else 503, and why not. For load balancers: text.

        A worker that was replaced while it was asked is left out: another one serves for it."""
        request = dataclasses.replace(request, wants_html=False)
        answers = self._ask(self._serving(), PageQuestion(PAGE, request))
        now = self._serving()
        pids = {worker.pid for worker in now}
        faults = [
            f"{worker.name}: {outcome_of(answer)[1].strip()}"
            for worker, answer in answers.items()
            if outcome_of(answer)[0] != 200 and worker.pid in pids
        ]
        numbers = {worker.number for worker in now}
        vacant = [number for number in range(self._workers.slots) if number not in numbers]
        faults += [f"worker {number} does not serve" for number in vacant]
        if faults:
            return PageResponse("\n".join([*faults, ""]), status=503)
        texts = {outcome_of(answer)[1] for answer in answers.values()}
        return PageResponse(texts.pop() if len(texts) == 1 else "OK")

    def _serving(self) -> list[AskedWorker]:
        return [each for each in self._workers.asked_workers() if each.state == "serving"]

    def _show_version(self, request: PageRequest, server: ServerView) -> PageResponse:
        """The version, if all workers have the same one."""
        if request.wants_html:
            return self._list_workers(request, server)
        answers = self._ask_all(PageQuestion(PAGE, request))
        outcomes = {outcome_of(answer) for answer in answers.values()}
        if len(outcomes) != 1:
            return self._show_each(request)
        ((status, text),) = outcomes
        return PageResponse(text, status=status)

    # --- asking ---

    def _ask_all(self, question: PageQuestion, more_s: float = 0.0) -> Answers:
        return self._ask(self._workers.asked_workers(), question, more_s)

    def _ask(
        self, workers: list[AskedWorker], question: PageQuestion, more_s: float = 0.0
    ) -> Answers:
        try:
            return ask(workers, question, self._answer_s + more_s)
        except TooLongError as error:
            raise PageError(413, f"the request is too long for a page: {error}") from None

    def _missing(self) -> list[int]:
        """Numbers of slots without a worker."""
        there = {worker.number for worker in self._workers.asked_workers()}
        return [number for number in range(self._workers.slots) if number not in there]


def _profile_s(request: PageRequest) -> float:
    """Seconds that a profile takes."""
    if request.name not in _PROFILES:
        return 0.0
    try:
        return seconds_of(request.parameter("seconds"))
    except PageError:
        return 0.0


def _url_of(request: PageRequest) -> str:
    """The path and the query of a request, as a link."""
    path = quote(f"/{request.name}/{request.path}".rstrip("/"), safe="/*;,:$%", errors="replace")
    query = "&".join(
        quote(f"{key}={value}", safe="=*;,:$%+", errors="replace")
        for key, value in request.query.items()
    )
    return f"{path}?{query}" if query else path
