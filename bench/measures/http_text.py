"""A short text, which is the same for each request."""

from __future__ import annotations

from bench.measures.http import http_measure

MEASURE = http_measure("text", "HTTP: a text of 13 bytes; wrk with 64 connections")
