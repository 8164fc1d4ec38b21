"""Reinforcement learning: roll-outs whose log-probabilities can be taken again, and the plans, advantages and losses of
the methods. Pure functions, on every array library."""

from typing import TYPE_CHECKING

from multisched.lazy import attached

if TYPE_CHECKING:
    from multisched.rl.losses import advantages as advantages, kl as kl, ppo_clip as ppo_clip, ratio as ratio
    from multisched.rl.plans import plan as plan, window as window
    from multisched.rl.rollouts import (
        Rollout as Rollout,
        Scores as Scores,
        noisy_rows as noisy_rows,
        rescore as rescore,
        rollout as rollout,
    )

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = attached(
        __name__,
        {
            "losses": "advantages kl ppo_clip ratio",
            "plans": "plan window",
            "rollouts": "Rollout Scores noisy_rows rescore rollout",
        },
    )
