"""ParallelCall: one call of a ParallelChannel. After bRPC's src/brpc/parallel_channel.cpp.

It ends when all of its sub calls have ended, and merges those that have succeeded then, in the
order of the channels.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from pybrpc.base.guard import deliver_interrupt, safe_repr
from pybrpc.client.channel.options import CHANNEL_TIMEOUT
from pybrpc.client.combo.combo_call import ComboCall, Flight
from pybrpc.client.combo.sub_call import MergeResult, SubCall, SubResult
from pybrpc.client.combo.sub_controller import new_sub_controller
from pybrpc.errors import ErrorCode, HandlerCanceledError, RpcError

if TYPE_CHECKING:
    from pybrpc.client.combo.sub_channel import SubChannel

_STOPPED = {
    int(ErrorCode.ECANCELED): "Canceled with the main call",
    int(ErrorCode.EPCHANFINISH): "Enough other sub calls have succeeded",
}


class _SubFlight(Flight):
    __slots__ = ("entry", "method", "request", "timeout")

    def __init__(
        self, index: int, entry: SubChannel, method: Any, call: SubCall, main: Any
    ) -> None:
        super().__init__(SubResult(index, entry.channel, new_sub_controller(main, call.controller)))
        self.entry = entry
        self.method = method
        self.request = call.request
        self.timeout: Any = call.timeout
        if call.timeout is None and self.result.controller.timeout_ms is not None:
            self.timeout = CHANNEL_TIMEOUT  # that of its controller


class ParallelCall(ComboCall):
    """See above. `limits`: fail_limit and success_limit, `None` for those that are not set."""

    channel: Any

    def _prepare(self) -> None:
        self._flights: list[_SubFlight] = []
        self._failed = self._succeeded = self._done = 0
        self._stop_code = 0
        self._timeout: RpcError | None = None

    def _start(self) -> None:
        try:
            flights = self._mapped()
        except RpcError as error:
            self._settle(None, error)
            return
        count = len(flights)
        fail_limit, success_limit = self.channel.fail_limit, self.channel.success_limit
        self._success_limit = count
        if fail_limit is None:
            self._fail_limit = count
            if success_limit is not None:
                self._success_limit = min(max(success_limit, 1), count)
        else:
            self._fail_limit = min(max(fail_limit, 1), count)
        self._flights = flights
        for flight in flights:
            if self._stop_code:
                self._end_flight(flight, None, self._canceled_sub_error())
                continue
            self._begin_flight(flight, flight.method, flight.request, flight.timeout)
            if self._stop_code:
                # Store, then load, on both sides: it was begun while the others were cancelled.
                self._cancel_flight(flight)

    def _mapped(self) -> list[_SubFlight]:
        """The sub calls, none of which has begun. The RpcError of a call that makes none."""
        entries = self.channel.entries
        if not entries:
            raise self.error(errno.EPERM, "No channels added")
        flights = []
        for index, entry in enumerate(entries):
            call = self._map(index, len(entries), entry)
            if call is not None:
                method = self._methods.of(entry, call.method)
                flights.append(_SubFlight(index, entry, method, call, self._controller))
        if not flights:
            raise self.error(ErrorCode.ECANCELED, "Skipped all channels")
        return flights

    def _map(self, index: int, count: int, entry: SubChannel) -> SubCall | None:
        mapper = entry.mapper
        if mapper is None:
            return SubCall(self._request)
        try:
            mapped = mapper(index, count, self.method.full_name, self._request)
        except Exception as reason:
            text = f"the mapper of channel[{index}] raised {safe_repr(reason)}"
            raise self.error(ErrorCode.EREQUEST, text) from reason
        if mapped is SubCall.BAD:
            raise self.error(ErrorCode.EREQUEST, f"The mapper of channel[{index}] returns BAD")
        if mapped is None or mapped is SubCall.SKIP:
            return None
        return mapped if isinstance(mapped, SubCall) else SubCall(mapped)

    # --- ends ---

    def _on_end(self, flight: Flight) -> None:
        stop_code = 0
        with self._lock:
            code = flight.result.code
            if not code:
                self._succeeded += 1
                if self._succeeded == self._success_limit:
                    stop_code = int(ErrorCode.EPCHANFINISH)
            elif code != ErrorCode.EPCHANFINISH:
                self._failed += 1
                if self._failed == self._fail_limit:
                    stop_code = int(ErrorCode.ECANCELED)
            self._done += 1
            has_all = self._done == len(self._flights)
        if stop_code and not has_all:
            self._stop(stop_code)
        if has_all:
            self._on_all_ended()

    def _on_all_ended(self) -> None:
        runs_merger = any(flight.entry.merger is not None for flight in self._flights)
        if runs_merger and self._failed < self._fail_limit and not self._is_settled:
            self.form.run_user_code(self._finish)
        else:
            self._finish()

    def _stop(self, code: int) -> None:
        with self._lock:
            self._stop_code = self._stop_code or code
        for flight in self._flights:
            if not flight.has_ended:
                self._cancel_flight(flight)

    def _cancel_flights(self) -> None:
        self._stop(int(ErrorCode.ECANCELED))

    def _on_deadline(self, error: RpcError) -> None:
        self._timeout = error
        self._cancel_flights()

    def _finish(self) -> None:
        """All sub calls have ended: merge them, and end the call."""
        if self._is_settled or self._is_canceled:
            return
        response, error = self._outcome()
        self._settle(response, error)

    def _outcome(self) -> tuple[Any, RpcError | None]:
        failed = self._failed
        if failed < self._fail_limit:
            response = self.method.response_class()
            for flight in self._flights:
                if flight.result.error is None:
                    merged, reason = self._merge(flight, response)
                    if merged is MergeResult.FAIL_ALL:
                        return None, self._merge_error(flight, reason)
                    failed += merged is MergeResult.FAIL
            if failed < self._fail_limit:
                return response, None
        error = self._timeout or self._too_many_error(failed)
        self._note_run(error)
        return None, error

    def _note_run(self, error: RpcError) -> None:
        """Have `error` tell whether a server may have run one of the sub calls."""
        errors = [flight.result.error for flight in self._flights]
        not_run = [each for each in errors if each is not None and not each.may_have_run]
        if len(not_run) < len(errors):
            error._earlier_may_have_run = True
        else:
            error.phase = not_run[0].phase

    def _merge(self, flight: _SubFlight, response: Any) -> tuple[MergeResult, BaseException | None]:
        merger = flight.entry.merger
        try:
            if merger is None:
                response.MergeFrom(flight.result.response)
                return MergeResult.MERGED, None
            merged = merger(response, flight.result.response)
        except BaseException as reason:
            deliver_interrupt(reason)
            return MergeResult.FAIL_ALL, reason
        if merged is None or isinstance(merged, MergeResult):
            return merged or MergeResult.MERGED, None
        reason = TypeError(f"a merger returns a MergeResult or None, not {safe_repr(merged)}")
        return MergeResult.FAIL_ALL, reason

    def _merge_error(self, flight: Flight, reason: BaseException | None) -> RpcError:
        text = f"Fail to merge response of channel[{flight.result.index}]"
        if reason is not None:
            text += f": {safe_repr(reason)}"
        error = self._waiting_error(ErrorCode.ERESPONSE, text)
        error.__cause__ = reason
        return error

    def _too_many_error(self, failed: int) -> RpcError:
        """The error code that all failed sub calls have, but for ECANCELED, or ETOOMANYFAILS."""
        errors = {
            flight.result.index: flight.result.error
            for flight in self._flights
            if flight.result.error is not None
        }
        codes = {error.code for error in errors.values()} - {int(ErrorCode.ECANCELED)}
        code = int(ErrorCode.ETOOMANYFAILS)
        if len(codes) < 2:
            code = codes.pop() if codes else int(ErrorCode.ECANCELED)
        text = f"{failed}/{len(self._flights)} channels failed, fail_limit={self._fail_limit}"
        for index, error in errors.items():
            text += f" [C{index}]{error.text}"
        first = next(iter(errors.values()), None)
        if isinstance(first, HandlerCanceledError) and code == ErrorCode.ECANCELED:
            return HandlerCanceledError(text, phase=first.phase, peer=self.channel.name)
        made = self._waiting_error(code, text)
        made.__cause__ = next((error for error in errors.values() if error.code == code), None)
        return made

    def _canceled_sub_error(self) -> RpcError:
        code = self._stop_code or int(ErrorCode.ECANCELED)
        return self._waiting_error(code, _STOPPED[code])

    def _sub_results(self) -> tuple[SubResult | None, ...]:
        results: list[SubResult | None] = [None] * len(self.channel.entries)
        for flight in self._flights:
            if flight.result.index < len(results):
                results[flight.result.index] = flight.result
        return tuple(results)
