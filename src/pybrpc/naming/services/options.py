"""Options that all URLs of naming services take."""

from __future__ import annotations

from pybrpc.naming.interfaces import NamingService, UpdatePolicy
from pybrpc.naming.naming_url import UrlOptions

MIN_INTERVAL_S = 0.01


def take_policy(
    options: UrlOptions, retry_s: float = 0.5, max_retry_s: float = 60.0
) -> UpdatePolicy:
    """`retry`, `max_retry`, `allow_empty`, `confirm_empty` (how often) and `confirm_interval`."""
    retry_s = options.seconds("retry", retry_s, MIN_INTERVAL_S)
    return UpdatePolicy(
        retry_s=retry_s,
        max_retry_s=max(options.seconds("max_retry", max_retry_s, MIN_INTERVAL_S), retry_s),
        allow_empty=options.flag("allow_empty"),
        confirmations=options.count("confirm_empty", 3, 1, 1000),
        confirm_s=options.seconds("confirm_interval", 1.0),
    )


def take_interval(service: NamingService, options: UrlOptions, default_s: float = 5.0) -> None:
    """Set `interval_s` of a service by the option `interval`."""
    service.interval_s = options.seconds("interval", default_s, MIN_INTERVAL_S)
