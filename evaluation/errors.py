"""Errors of evaluations."""


class EvaluationError(Exception):
    """An evaluation that is not possible as asked. The message says why, and what is possible instead."""
