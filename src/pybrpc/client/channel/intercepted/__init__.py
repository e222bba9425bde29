"""Calls of a channel with interceptors.

Its stubs have `InterceptedMethod` and `AioInterceptedMethod` in place of StubMethod and
AioStubMethod, so that calls of other channels cost nothing more. `intercepted_future` and
`future_run` are the future of a call and what runs around it, `intercepted_stream_call` calls that
open streams.
"""
