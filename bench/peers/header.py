"""The header of the bare peers: 12 bytes, before the payload."""

from __future__ import annotations

import struct

HEADER = struct.Struct("!III")
"""Bytes of the payload, a number that the answer repeats, microseconds to sleep."""
