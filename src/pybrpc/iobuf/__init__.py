"""IOBuf: a chain of shared views of bytes-like objects, which descriptors are read into and written
from.

Imports nothing else of pybrpc. Only functions with fd in their names make system calls.
"""

from pybrpc.iobuf.blocks import BytesLike
from pybrpc.iobuf.fd_io import IOV_MAX
from pybrpc.iobuf.gather import cut_multiple_into_fd
from pybrpc.iobuf.io_portal import IOPortal
from pybrpc.iobuf.iobuf import IOBuf

__all__ = ["IOV_MAX", "BytesLike", "IOBuf", "IOPortal", "cut_multiple_into_fd"]


def __dir__() -> list[str]:
    return __all__
