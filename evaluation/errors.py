"""What an evaluation refuses."""


class EvaluationError(Exception):
    """An evaluation that can't be made as asked. The message says why, and what is possible instead."""
