"""The one error that this package raises of its own."""


class ScheduleError(ValueError):
    """A schedule, a plan or a step that cannot be: one sentence says what was given and what is allowed.

    Example:
        >>> try:
        ...     ms.DDIM(beta_schedule="linaer")
        ... except ms.ScheduleError as error:
        ...     print(error)
        beta_schedule must be one of 'linear', 'scaled_linear', 'squaredcos_cap_v2', 'sigmoid', 'laplace', 'exp'; given 'linaer' (did you mean 'linear'?).
    """


def no_out(reason: str) -> str:
    """The sentence for arrays that a step cannot write to."""
    return f"out= must be a state shaped as the one that is stepped, and share no array with it: {reason}."
