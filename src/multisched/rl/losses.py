"""Advantages, ratios and losses of policy gradients."""

import math
from typing import Any

from multisched import backends
from multisched.backends import B
from multisched.density import REDUCTIONS, Reduce, reduced
from multisched.errors import ScheduleError
from multisched.table.state import check_alike
from multisched.values import count, option, real


def advantages(rewards: B, group: int, eps: float = 1e-4) -> B:
    """Group-relative advantages, (r - mean) / (std + eps) over the samples of a prompt (GRPO, Shao et al. 2024, arXiv
    2402.03300; Flow-GRPO, Liu et al. 2025, arXiv 2505.05470).

    Args:
        rewards: (samples,), each group's beside one another.
        group: samples of a group. The deviation is that of the group itself, not of what it is drawn from.
        eps: added to it, so that a group of equal rewards has advantages 0.

    Raises:
        ScheduleError: if the samples are no whole number of groups, or eps is not positive.

    Example:
        >>> ms.rl.advantages(np.array([1.0, 3.0, 5.0, 5.0]), group=2, eps=1e-9).round(6).tolist()
        [-1.0, 1.0, 0.0, 0.0]
    """
    backend, group = backends.of(rewards), count("group", group)
    backend.compute_dtype(rewards.dtype)
    if len(rewards.shape) != 1 or rewards.shape[0] % group:
        raise ScheduleError(
            f"rewards are (samples,), a whole number of groups of {group}; given shape {tuple(rewards.shape)}."
        )
    _positive("eps", eps)
    xp = backend.xp
    each: Any = xp.reshape(rewards, (-1, group))
    apart = each - xp.mean(each, axis=1, keepdims=True)
    std = xp.sqrt(xp.mean(apart * apart, axis=1, keepdims=True))
    found: B = xp.reshape(apart / (std + eps), (-1,))
    return found


def ratio(log_probs: B, old: B) -> B:
    """exp(log_probs - old): how much more probable a step is under the policy than under the one that took it.

    Args:
        log_probs: of the steps under the policy that is trained.
        old: of the same steps under the policy that took them.

    Example:
        >>> ms.rl.ratio(np.array([0.0, np.log(2.0)]), np.zeros(2)).round(6).tolist()
        [1.0, 2.0]
    """
    backend = backends.of(log_probs)
    check_alike(log_probs, old, "the old log-probabilities", "new ones")
    new: Any = log_probs
    found: B = backend.xp.exp(new - old)
    return found


def ppo_clip(log_probs: B, old: B, advantages: Any, clip: float = 0.2) -> B:
    """PPO's clipped loss of each step, to be averaged (Schulman et al. 2017, arXiv 1707.06347, eq. 7).

        loss = -min(r * A, clip(r, 1 - clip, 1 + clip) * A),   r = exp(log_probs - old)

    Args:
        log_probs, old: of one shape, such as (noisy rows, samples).
        advantages: an array that broadcasts against them, such as (samples,).
        clip: half the width of the interval, above 0. The log-probabilities of samples of many elements take a far
            smaller one than 0.2.

    Raises:
        ScheduleError: if the arrays do not go together, or clip is not positive.

    Example:
        >>> ms.rl.ppo_clip(np.log(np.array([1.5, 1.05])), np.zeros(2), np.array([1.0, 1.0]), clip=0.2).round(2).tolist()
        [-1.2, -1.05]
    """
    _positive("clip", clip)
    backend, r = backends.of(log_probs), ratio(log_probs, old)
    if backends.of(advantages) is not backend:
        raise ScheduleError(f"advantages are an array of {backends.of(advantages).name}, the rest of {backend.name}.")
    xp = backend.xp
    one: Any = r
    found: B = -xp.minimum(one * advantages, xp.clip(one, 1 - clip, 1 + clip) * advantages)
    return found


def kl(mean: B, reference: B, std: Any, reduce: Reduce = "sum") -> B:
    """The divergence of a step's Gaussian from that of a reference model, |mean - reference|^2 / (2 std^2) (Flow-GRPO,
    Liu et al. 2025, arXiv 2505.05470).

    Args:
        mean, reference: the means of one step, (samples, ...).
        std: the deviation of both, a number above 0 or an array that broadcasts against the means.
        reduce: as of `ms.log_prob`.

    Raises:
        ScheduleError: if the arrays do not go together, or std is a number that is not positive.

    Example:
        >>> ms.rl.kl(np.array([[1.0, 0.0]]), np.zeros((1, 2)), np.array([[0.5, 0.5]])).tolist()
        [2.0]
    """
    option("reduce", reduce, REDUCTIONS)
    check_alike(mean, reference, "the reference", "mean")
    if not hasattr(std, "shape"):
        _positive("std", std)
    here: Any = mean
    apart = (here - reference) / std
    found: B = reduced(backends.of(mean), 0.5 * apart * apart, reduce)
    return found


def _positive(name: str, value: Any) -> None:
    if not 0 < real(name, value) < math.inf:
        raise ScheduleError(f"{name} must be a positive number; given {value!r}.")
