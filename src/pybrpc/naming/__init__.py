"""Naming services: where the list of the servers of a cluster comes from, and its changes; and
registration: how a server gets into such a list.

`watch` is for those that want a list, `register` for a server. `wire` speaks to the services,
`services` makes lists of what they answer, `registration` keeps a server in them. Channels and
servers use this package; it knows neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybrpc.base.lazy_names import lazy_names

if TYPE_CHECKING:
    from pybrpc.naming.interfaces import InterruptedFetchError as InterruptedFetchError
    from pybrpc.naming.interfaces import NamingService as NamingService
    from pybrpc.naming.interfaces import NamingWatcher as NamingWatcher
    from pybrpc.naming.interfaces import UpdatePolicy as UpdatePolicy
    from pybrpc.naming.list_keeper import NamingState as NamingState
    from pybrpc.naming.naming_url import NamingUrl as NamingUrl
    from pybrpc.naming.registration.registration import Registration as Registration
    from pybrpc.naming.registration.registration import RegistrationState as RegistrationState
    from pybrpc.naming.registration.registration import register as register
    from pybrpc.naming.schemes import register_naming_service as register_naming_service
    from pybrpc.naming.server_node import ServerNode as ServerNode
    from pybrpc.naming.url_scheme import is_naming_url as is_naming_url
    from pybrpc.naming.watching import Watch as Watch
    from pybrpc.naming.watching import watch as watch
    from pybrpc.naming.watching import watched as watched

__all__ = [
    "InterruptedFetchError",
    "NamingService",
    "NamingState",
    "NamingUrl",
    "NamingWatcher",
    "Registration",
    "RegistrationState",
    "ServerNode",
    "UpdatePolicy",
    "Watch",
    "is_naming_url",
    "register",
    "register_naming_service",
    "watch",
    "watched",
]

_DEFINED_IN = {
    "InterruptedFetchError": "pybrpc.naming.interfaces",
    "NamingService": "pybrpc.naming.interfaces",
    "NamingState": "pybrpc.naming.list_keeper",
    "NamingUrl": "pybrpc.naming.naming_url",
    "NamingWatcher": "pybrpc.naming.interfaces",
    "Registration": "pybrpc.naming.registration.registration",
    "RegistrationState": "pybrpc.naming.registration.registration",
    "ServerNode": "pybrpc.naming.server_node",
    "UpdatePolicy": "pybrpc.naming.interfaces",
    "Watch": "pybrpc.naming.watching",
    "is_naming_url": "pybrpc.naming.url_scheme",
    "register": "pybrpc.naming.registration.registration",
    "register_naming_service": "pybrpc.naming.schemes",
    "watch": "pybrpc.naming.watching",
    "watched": "pybrpc.naming.watching",
}

if not TYPE_CHECKING:  # or any attribute would be known to type checkers
    __getattr__, __dir__ = lazy_names(__name__, _DEFINED_IN)
