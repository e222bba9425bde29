"""python -m pybrpc: as the command `pybrpc`."""

from __future__ import annotations

import sys

from pybrpc.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
