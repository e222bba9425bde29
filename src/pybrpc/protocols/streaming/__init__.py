"""Frames of streaming RPC: bytes of streams that calls of baidu_std have opened."""

from __future__ import annotations
