"""The one error that this package raises of its own."""


class ScheduleError(ValueError):
    """A schedule, a plan or a step that cannot be: one sentence says what was given and what is allowed."""
