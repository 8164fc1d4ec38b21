"""The one error that this package raises of its own."""


class ScheduleError(ValueError):
    """A schedule, a plan or a step that cannot be: one sentence says what was given and what is allowed.

    Example:
        >>> try:
        ...     ms.spacings.Round("up")
        ... except ms.ScheduleError as error:
        ...     print(error)
        how must be one of 'nearest', 'down'; given 'up'.
    """


def no_out(reason: str) -> str:
    """The sentence for arrays that a step cannot write to."""
    return f"out= must be a state shaped as the one that is stepped, and share no array with it: {reason}."
