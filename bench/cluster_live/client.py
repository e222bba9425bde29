"""A client process: calls a cluster at a fixed rate, and says how the calls have ended.

python -m bench.cluster_live.client SPEC    a ClientSpec in JSON

Each line of stdin is a command, answered by a line: `count`: the calls that have ended; `fault
SECONDS`: something happens now, and may be noticed for so long; `end`: the Outcome, in JSON.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pybrpc
from bench.cluster_live.host import SERVICE_S
from bench.cluster_live.load import OnEnd, OpenLoad, Outcome
from bench.echo_messages import EXAMPLE, EchoRequest
from pybrpc.client.calls.retry import RETRYABLE_CODES
from pybrpc.errors import ErrorCode, RpcError, error_name

BACKUP_AFTER_S = 20 * SERVICE_S
HASHED = ("c_", "maglev")
"""How the names of balancers begin that need a key."""

StartCall = Callable[[OnEnd], object]


@dataclass(frozen=True, slots=True)
class ClientSpec:
    """How to call."""

    kind: str
    balancer: str
    where: list[str] | str
    """Addresses, or the URL of a naming service."""
    per_s: float
    timeout_s: float
    retries: bool
    """Whether calls that fail are tried again, and slow ones elsewhere too."""


@contextlib.contextmanager
def pybrpc_calls(spec: ClientSpec) -> Iterator[StartCall]:
    options: dict[str, Any] = {"max_retry": 0}
    if spec.retries:
        options = {
            "max_retry": 3,
            "retry_policy": pybrpc.RetryPolicy(RETRYABLE_CODES | {ErrorCode.EINTERNAL}),
            "backup_request_policy": pybrpc.BackupRequestPolicy(BACKUP_AFTER_S, max_ratio=1),
        }
    with pybrpc.Channel(
        spec.where, load_balancer=spec.balancer, timeout=spec.timeout_s, **options
    ) as channel:
        channel.wait_ready(spec.timeout_s * 10)
        echo = pybrpc.Stub(EXAMPLE.service, channel).Echo
        needs_key = spec.balancer.startswith(HASHED)

        def start_call(on_end: OnEnd) -> None:
            controller = pybrpc.Controller()
            if needs_key:
                controller.hash_key = time.monotonic_ns()

            def note(future: Any) -> None:
                error = future.exception()
                code = error_name(error.code) if isinstance(error, RpcError) else repr(error)
                on_end(1 + controller.retried_count, "" if error is None else code)

            echo.future(EXAMPLE.request(), controller=controller).add_done_callback(note)

        yield start_call


@contextlib.contextmanager
def grpcio_calls(spec: ClientSpec) -> Iterator[StartCall]:
    import grpc

    from bench.peers.grpcio_service import echo_stub

    retry_policy = {
        "maxAttempts": 4,
        "initialBackoff": "0.01s",
        "maxBackoff": "0.1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE", "INTERNAL"],
    }
    method = {"name": [{}], "retryPolicy": retry_policy} if spec.retries else {"name": [{}]}
    config = {"loadBalancingConfig": [{spec.balancer: {}}], "methodConfig": [method]}
    options = [
        ("grpc.service_config", json.dumps(config)),
        ("grpc.enable_retries", int(spec.retries)),
    ]
    assert not isinstance(spec.where, str)
    with grpc.insecure_channel(f"ipv4:{','.join(spec.where)}", options=options) as channel:
        grpc.channel_ready_future(channel).result(spec.timeout_s * 10)
        echo = echo_stub(channel)

        def start_call(on_end: OnEnd) -> None:
            def note(future: Any) -> None:
                code = future.code()
                on_end(0, "" if code is grpc.StatusCode.OK else code.name)

            echo.future(EchoRequest(), timeout=spec.timeout_s).add_done_callback(note)

        yield start_call


KINDS = {"pybrpc": pybrpc_calls, "grpcio": grpcio_calls}


def main() -> None:
    spec = ClientSpec(**json.loads(sys.argv[1]))
    with KINDS[spec.kind](spec) as start_call:
        load = OpenLoad(start_call, spec.per_s)
        fault_s, grace_s = time.monotonic(), 0.0
        try:
            for line in sys.stdin:
                name, *arguments = line.split()
                if name == "end":
                    break
                if name == "fault":
                    fault_s, grace_s = time.monotonic(), float(arguments[0])
                print(len(load.ended), flush=True)
        finally:
            calls = load.end()
        print(json.dumps(dataclasses.asdict(Outcome.of(calls, fault_s, grace_s))), flush=True)


if __name__ == "__main__":
    main()
