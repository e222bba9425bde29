"""Naming services, by the names that clusters use: `pybrpc.naming` has them, for servers too."""

from __future__ import annotations

from pybrpc.naming import NamingState as NamingState
from pybrpc.naming import NamingWatcher as NamingWatcher
from pybrpc.naming import Watch as Watch
from pybrpc.naming import is_naming_url as is_naming_url
from pybrpc.naming import watch as watch
