"""The errors of conversions, and what was skipped in one that succeeded.

ConversionError (PyBrpcError, ValueError)
+-- InvalidInputError    no JSON, proto-text or query string at all; has an offset
+-- InvalidFieldError    a value that its field can't have
+-- MissingFieldError    a required field is missing
+-- DepthError           nested too deeply
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from pybrpc.errors import PyBrpcError

MAX_SHOWN = 200
"""Characters of a value that a text shows."""

MAX_WARNINGS = 32
"""Skipped values that one conversion reports; later ones are skipped as well."""


@dataclasses.dataclass(frozen=True, slots=True)
class SkippedValue:
    """A value of the wrong type, for an optional field, which was left unset.

    path  names the field from the root, such as "content[1].ext.enumtype"
    text  is bRPC's
    """

    path: str
    text: str


class ConversionError(PyBrpcError, ValueError):
    """A message can't be converted. The text is bRPC's: it begins with the values that were skipped
    before, if there are any.

    reason   the text without those
    path     names the field from the root, such as "content[1].ext"; "" is the message itself
    skipped  the values that were skipped before, at most MAX_WARNINGS
    """

    def __init__(self, text: str, path: str = "", skipped: Sequence[SkippedValue] = ()) -> None:
        super().__init__(", ".join([*(one.text for one in skipped), text]))
        self.reason = text
        self.path = path
        self.skipped = tuple(skipped)


class InvalidInputError(ConversionError):
    """The input is no JSON, no proto-text, or no query string.

    offset  where in the input, in bytes of UTF-8
    """

    def __init__(self, text: str, offset: int = 0) -> None:
        super().__init__(text)
        self.offset = offset


class InvalidFieldError(ConversionError):
    """A field can't have the value that was given."""


class MissingFieldError(ConversionError):
    """A required field is not set."""


class DepthError(ConversionError):
    """Messages or values are nested too deeply."""


def shown(text: str) -> str:
    """`text`, or the beginning of a long one."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
