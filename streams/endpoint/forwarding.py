"""Requests that one worker hands to another: marked, so that none goes in circles."""

from __future__ import annotations

from contextvars import ContextVar

FORWARDED_BY = "Alsobought-Forwarded-By"
"""Header of a request that a worker hands on; it names that worker, and who gets it answers or refuses."""

forwarded: ContextVar[bool] = ContextVar("forwarded", default=False)
"""Whether the request that is being answered was handed on by another worker."""
