"""The grids of RFD4-Proteina, which samples proteins on the straight path."""

import math
from dataclasses import dataclass

import numpy as np

from multisched import checks
from multisched.paths.flow import Flow
from multisched.values import STEPS, count


@dataclass(frozen=True)
class ProteinFlow(Flow):
    """The grids of RFD4-Proteina, in data time t = 1 - sigma from about 0.001 to 1; the last steps are finer.

        power  t = (c + (1 - c) * i / n)^2,                                  c = sqrt(0.001)
        log    t = (b - 10^(c - (c + 2) * i / n)) / (b - 0.01),   b = c + 10^c,   c = 0.001

    Args:
        schedule_mode: "log" or "power".
        tail_steps, tail_step_multiplier: how many steps are finer, where n has room, and how many make one other.

    Raises:
        ScheduleError: another mode, less than 0 finer steps, or a multiplier below 2.
    """

    num_train_timesteps: int = 1
    sigma_min: float | None = 0.0
    inverted: bool = True
    schedule_mode: str = "log"
    tail_steps: int = 10
    tail_step_multiplier: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.option("schedule_mode", self.schedule_mode, ("log", "power"))
        count("tail_steps", self.tail_steps, STEPS, least=0)
        count("tail_step_multiplier", self.tail_step_multiplier, STEPS, least=2)

    def _even(self, n: int) -> np.ndarray:
        fine = self.tail_step_multiplier
        tail = min(self.tail_steps, n // fine)
        whole = n - fine * tail
        ramp = np.append(np.arange(whole), whole + np.arange(fine * tail) / fine) / (whole + tail)
        c = 0.001
        if self.schedule_mode == "power":
            return 1 - (math.sqrt(c) * (1 - ramp) + ramp) ** 2
        top = c + 10**c
        return 1 - (top - 10 ** (c - (c + 2) * ramp)) / (top - 0.01)
