"""A small message that is echoed as JSON."""

from __future__ import annotations

from bench.measures.http import http_measure

MEASURE = http_measure("echo", "HTTP: 32 bytes echoed as JSON; wrk with 64 connections")
