"""Buffers of users, and the callback that is called when such a buffer is no longer used.

A ctypes array shares the memory of the buffer. Every memoryview of the array, slices of slices
included, keeps the array alive, but a slice does not keep alive the view that it was cut from. So
the array is freed with its last view, and its finalizer notifies the user.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from typing import TypeVar

B = TypeVar("B")

_PyBUF_SIMPLE = 0


class _PyBuffer(ctypes.Structure):
    """Py_buffer of the stable ABI, the only way to the address of a read-only buffer."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


def lend(buffer: B, on_release: Callable[[B], object]) -> memoryview:
    """A read-only view of `buffer`, not copied. `on_release(buffer)` is called when the last view
    is gone, in the thread that dropped it, or at once if the buffer is empty.

    TypeError if `buffer` is not bytes-like, BufferError if it is not C-contiguous.
    """
    exported = _PyBuffer()
    ctypes.pythonapi.PyObject_GetBuffer(
        ctypes.py_object(buffer), ctypes.byref(exported), _PyBUF_SIMPLE
    )
    array = (ctypes.c_ubyte * exported.len).from_address(exported.buf or 0)
    finalizer = weakref.finalize(array, _release, exported, buffer, on_release)
    finalizer.atexit = False
    return memoryview(array).cast("B").toreadonly()


def address_of(buffer: object) -> int:
    """The address of the bytes of `buffer`. TypeError and BufferError as for `lend`."""
    exported = _PyBuffer()
    ctypes.pythonapi.PyObject_GetBuffer(
        ctypes.py_object(buffer), ctypes.byref(exported), _PyBUF_SIMPLE
    )
    address: int = exported.buf or 0
    ctypes.pythonapi.PyBuffer_Release(ctypes.byref(exported))
    return address


def _release(exported: _PyBuffer, buffer: B, on_release: Callable[[B], object]) -> None:
    ctypes.pythonapi.PyBuffer_Release(ctypes.byref(exported))
    on_release(buffer)
