"""Traces after bRPC's rpcz. See docs/tracing.md."""
