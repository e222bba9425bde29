"""AMF0 compared with Py3AMF, a codec of other authors."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from pybrpc.protocols.rtmp.amf0 import EcmaArray, decode, encode

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pyamf = pytest.importorskip("pyamf", reason="Py3AMF is not installed")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

VALUES = [
    *(0.0, -1.5, 1e308, 5e-324, True, False, None, "", "live", "\u00e9\u4e2d", "x" * 70_000),
    *([], [1.0, None, "a", [True]], {}, {"app": "live", "nested": {"b": [1.0]}, "n": None}),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda each: repr(each)[:20])
def test_py3amf_reads_what_is_written(value: Any) -> None:
    assert list(pyamf.decode(encode(value, "end"), encoding=pyamf.AMF0)) == [value, "end"]


@pytest.mark.parametrize("value", VALUES, ids=lambda each: repr(each)[:20])
def test_bytes_of_py3amf_are_read(value: Any) -> None:
    encoder = pyamf.get_encoder(pyamf.AMF0)
    encoder.writeElement(value)
    assert decode(encoder.stream.getvalue()) == [value]


def test_ecma_arrays_are_those_of_py3amf() -> None:
    array = EcmaArray(width=1280.0, height=720.0, encoder="pybrpc")
    (read,) = pyamf.decode(encode(array), encoding=pyamf.AMF0)
    assert isinstance(read, pyamf.MixedArray)
    assert dict(read) == array
    encoder = pyamf.get_encoder(pyamf.AMF0)
    encoder.writeElement(pyamf.MixedArray(array))
    (back,) = decode(encoder.stream.getvalue())
    assert type(back) is EcmaArray
    assert back == array
