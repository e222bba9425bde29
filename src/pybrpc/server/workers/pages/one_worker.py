"""The HTML page of one worker, shown by the supervisor: its links stay with that worker."""

from __future__ import annotations

import html
import re

from pybrpc.builtin.html import tag

WORKER_PARAMETER = "worker"

# Text has no quotes that are not escaped, so these can only be tags that a page has made.
_LINK = re.compile(r' (href|data-live)="(/[^"#]+)"')
_GET_FORM = re.compile(r'<form [^>]*method="get"[^>]*>')
_NAME = re.compile(r'<span class="worker">([^<]*)</span>')
_SHARED = ("/css/", "/js/", "/favicon.ico")


def with_worker(url: str, number: int) -> str:
    """The URL of the same page of that worker."""
    mark = "&" if "?" in url else "?"
    return f"{url}{mark}{WORKER_PARAMETER}={number}"


def of_one_worker(page: str, number: int) -> str:
    """The HTML of a page of a worker, for clients of the supervisor.

    Links and forms that look for something lead to pages of that worker; "/", the name of the
    worker, and forms that change something to those of all.
    """

    def follow(found: re.Match[str]) -> str:
        url = html.unescape(found[2])
        if url.startswith(_SHARED):
            return found[0]
        return f' {found[1]}="{html.escape(with_worker(url, number))}"'

    field = tag("input", type="hidden", name=WORKER_PARAMETER, value=number)
    page = _LINK.sub(follow, page)
    page = _GET_FORM.sub(lambda found: found[0] + field, page)
    name = r'<span class="worker"><a href="/workers">\1</a></span>'
    return _NAME.sub(name, page, count=1)
