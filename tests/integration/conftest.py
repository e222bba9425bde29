"""Fixtures of all integration tests."""

from __future__ import annotations

import logging

import pytest


@pytest.fixture(autouse=True)
def logging_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """import-linter, which a test runs in this process, disables every logger that is there."""
    monkeypatch.setattr(logging.getLogger("pybrpc"), "disabled", False)
