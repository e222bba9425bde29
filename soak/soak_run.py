"""SoakRun: servers, proxies and callers for some time, and then the end of all of them.

All is in one process, so that what any side leaves behind is seen. It runs twice: shortly, so that
everything that is made once is there, and then for good. Before and after that everything is
closed, and the process is measured at rest.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from pybrpc.transport.runtime import reset_default_runtime
from soak.accounts import SETTLE_S, open_accounts
from soak.chaos import Chaos
from soak.hostile.hostile_peers import HostilePeers
from soak.ledger import Ledger, LedgerTotals
from soak.log_watch import LogWatch
from soak.options import SoakOptions
from soak.outcome import Outcome
from soak.process_watch import ProcessWatch, objects_by_type, settled_sizes
from soak.site import Site, faults_of, open_sites
from soak.streams.book import StreamBook
from soak.streams.load import StreamTasks, StreamThread
from soak.task_load import TaskLoad, loop_factories
from soak.thread_load import HANG_S, ThreadLoad
from soak.tls import TlsPair, has_tls, tls_pair

WARM_UP_S = 5.0
SAMPLE_S = 0.5
END_S = 2 * HANG_S

OnProgress = Callable[[float, LedgerTotals, Counter[str]], None]


class Books:
    """The ledgers of one run."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.streams = StreamBook()


@dataclasses.dataclass(frozen=True, slots=True)
class Struck:
    """Everything that happened beside the calls, and the counts of the servers afterwards."""

    faults: Counter[str]
    deeds: Counter[str]
    hostile: Counter[str]
    accounts: list[str]


class SoakRun:
    """One soak. `stop` may be set by anybody; it then ends early."""

    def __init__(self, options: SoakOptions, on_progress: OnProgress) -> None:
        self.stop = threading.Event()
        self._options = options
        self._on_progress = on_progress
        self._stuck: list[str] = []

    def run(self) -> Outcome:
        """Blocks. ValueError if TLS is wanted and there is none."""
        options = self._options
        if options.tls and not has_tls():
            raise ValueError("for certificates the package trustme is needed: pip install trustme")
        with_tls = has_tls() if options.tls is None else options.tls
        with tls_pair() if with_tls else contextlib.nullcontext() as tls, LogWatch() as log:
            warm_up_s = min(WARM_UP_S, options.seconds / 4)
            self._run_for(warm_up_s, Books(), ProcessWatch(), tls, _be_silent)
            return self._run_for_good(tls, log)

    def _run_for_good(self, tls: TlsPair | None, log: LogWatch) -> Outcome:
        """Run the load after a warm-up, and compare the sizes before and after."""
        at_start, objects = settled_sizes(), objects_by_type()
        books, watch = Books(), ProcessWatch()
        started_at = time.monotonic()
        struck = self._run_for(self._options.seconds, books, watch, tls, self._on_progress)
        seconds, growth = time.monotonic() - started_at, watch.growth()
        totals, streams = books.ledger.totals(), books.streams.totals()
        watch.samples.clear()
        del books  # or what they hold would seem to be left
        return Outcome(
            seconds=seconds,
            has_tls=tls is not None,
            totals=totals,
            streams=streams,
            faults=dict(struck.faults),
            deeds=dict(struck.deeds),
            hostile=dict(struck.hostile),
            accounts=struck.accounts,
            at_start=at_start,
            at_end=settled_sizes(at_start),
            left=dict((objects_by_type() - objects).most_common()),
            growth=growth,
            log_count=log.count,
            log_texts=log.texts,
            on_purpose=log.on_purpose,
            stuck=self._stuck,
        )

    def _run_for(
        self,
        seconds: float,
        books: Books,
        watch: ProcessWatch,
        tls: TlsPair | None,
        on_progress: OnProgress,
    ) -> Struck:
        """Call for so long; then end and close everything."""
        options = self._options
        with open_sites(options.seed, tls, books.streams) as sites:
            over = threading.Event()
            chaos = Chaos(sites, options.seed, over)
            hostile = [
                HostilePeers(sites, f"{options.seed}/h{number}", over)
                for number in range(options.hostile)
            ]
            beside = [chaos.run, *(peers.run for peers in hostile)]
            threads = self._start_all(sites, books, beside, over)
            try:
                for passed_s in self._moments(seconds):
                    watch.sample()
                    on_progress(passed_s, books.ledger.totals(), faults_of(sites))
            finally:
                over.set()
                self._join(threads)
            # A connection that a fault has stalled, or closed on one side only, would stay.
            for site in sites:
                site.proxy.reset_all()
            books.streams.wait_over(SETTLE_S)
            struck = Struck(
                faults=faults_of(sites),
                deeds=chaos.done,
                hostile=sum((peers.done for peers in hostile), Counter()),
                accounts=open_accounts({site.server for site in sites}),
            )
        reset_default_runtime()
        return struck

    def _start_all(
        self,
        sites: list[Site],
        books: Books,
        beside: list[Callable[[], None]],
        over: threading.Event,
    ) -> list[threading.Thread]:
        """Start the callers, and what is done `beside` them."""
        options = self._options
        jobs = list(beside)
        for number in range(options.threads):
            jobs.append(ThreadLoad(sites, books.ledger, f"{options.seed}/t{number}", over).run)
        shared = (sites, books.ledger, books.streams)
        for number in range(options.streams):
            jobs.append(StreamThread(*shared, f"{options.seed}/s{number}", over).run)
        factories = loop_factories()
        for number, factory in enumerate(factories):
            count = (options.tasks + number) // len(factories)
            load = TaskLoad(sites, books.ledger, f"{options.seed}/l{number}", over, count)
            jobs.append(functools.partial(load.run, factory))
            streams = StreamTasks(*shared, f"{options.seed}/a{number}", over)
            jobs.append(functools.partial(streams.run, factory, options.streams))
        threads = [
            threading.Thread(target=job, name=f"soak-{number}", daemon=True)
            for number, job in enumerate(jobs)
        ]
        for thread in threads:
            thread.start()
        return threads

    def _moments(self, seconds: float) -> Iterator[float]:
        """Seconds that have passed, now and then, until it is over or was stopped."""
        started_at = time.monotonic()
        while (passed_s := time.monotonic() - started_at) < seconds and not self.stop.is_set():
            yield passed_s
            self.stop.wait(min(SAMPLE_S, seconds - passed_s))

    def _join(self, threads: list[threading.Thread]) -> None:
        deadline = time.monotonic() + END_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                self._stuck.append(thread.name)


def _be_silent(passed_s: float, totals: LedgerTotals, faults: Counter[str]) -> None:
    """The progress of a warm-up."""
