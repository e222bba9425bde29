"""IOBuf: a chain of shared views over bytes-like objects, and its reads and writes on descriptors.

Imports nothing of pybrpc; does system calls only where a function's name says fd.
"""

from pybrpc.iobuf.blocks import BytesLike
from pybrpc.iobuf.fd_io import IOV_MAX
from pybrpc.iobuf.gather import cut_multiple_into_fd
from pybrpc.iobuf.io_portal import IOPortal
from pybrpc.iobuf.iobuf import IOBuf

__all__ = ["IOV_MAX", "BytesLike", "IOBuf", "IOPortal", "cut_multiple_into_fd"]
