"""ConnectionRates: traffic of the last second and minute, measured while somebody looks."""

from __future__ import annotations

from pybrpc.builtin.connection_rates import MAX_CONNECTIONS, WATCHED_S, ConnectionRates
from pybrpc.builtin.server_view import ConnectionView
from tests.fakes.metrics import SteppedSampler
from tests.fakes.pages import FakeServerView


class Traffic:
    """A connection that reads 100 bytes in one message each second."""

    def __init__(self, age_s: float = 1000.0) -> None:
        self.sampler = SteppedSampler()
        self.rates = ConnectionRates(self.sampler.fake_clock.monotonic, lambda: self.sampler)
        self.age_s, self.seconds, self.reads = age_s, 0, 0

    def view(self) -> ConnectionView:
        return FakeServerView().view(
            in_bytes=100_000 + 100 * self.seconds,
            in_messages=1000 + self.seconds,
            out_bytes=0,
            out_messages=0,
            age_s=self.age_s + self.seconds,
        )

    def read(self) -> list[ConnectionView]:
        self.reads += 1
        return [self.view()]

    def look(self) -> None:
        self.rates.look(self.read)

    def pass_seconds(self, seconds: int) -> None:
        for _ in range(seconds):
            self.seconds += 1
            self.sampler.pass_seconds()


def test_the_first_look_shows_the_average_of_its_life() -> None:
    traffic = Traffic()
    traffic.look()
    assert traffic.rates.of(traffic.view()) == ((100, 1, 0, 0), (6000, 60, 0, 0))


def test_later_looks_show_what_was_measured() -> None:
    traffic = Traffic(age_s=1_000_000.0)
    traffic.look()
    traffic.pass_seconds(10)
    assert traffic.rates.of(traffic.view()) == ((100, 1, 0, 0), (1000, 10, 0, 0))
    traffic.pass_seconds(100)
    assert traffic.rates.of(traffic.view()) == ((100, 1, 0, 0), (6000, 60, 0, 0))


def test_a_young_connection_is_seen_as_a_whole() -> None:
    traffic = Traffic(age_s=0.5)
    assert traffic.rates.of(traffic.view()) == ((100_000, 1000, 0, 0), (100_000, 1000, 0, 0))


def test_samples_end_after_the_last_look() -> None:
    traffic = Traffic()
    traffic.look()
    traffic.pass_seconds(int(WATCHED_S) + 5)
    reads = traffic.reads
    assert reads <= WATCHED_S + 2
    traffic.pass_seconds(20)
    assert traffic.reads == reads
    traffic.look()
    traffic.pass_seconds(1)
    assert traffic.reads == reads + 2


def test_only_a_minute_of_samples_is_kept() -> None:
    traffic = Traffic()
    for _ in range(10):
        traffic.look()
        traffic.pass_seconds(30)
    assert len(traffic.rates._samples) <= 62


def test_a_child_forgets_the_samples_of_its_parent() -> None:
    traffic = Traffic()
    traffic.look()
    traffic.rates.renew_locks()
    assert traffic.rates._samples == []
    traffic.pass_seconds(2)
    assert traffic.reads == 1


def test_samples_are_bounded_in_number() -> None:
    traffic = Traffic()
    view = FakeServerView().view
    traffic.rates.look(lambda: (view(number) for number in range(MAX_CONNECTIONS + 100)))
    assert [len(sample.counts) for sample in traffic.rates._samples] == [MAX_CONNECTIONS]
