"""Roll-outs, and their log-probabilities under another model."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Generic, NamedTuple

from multisched import backends, noise as noise_sources
from multisched.backends import B, Backend
from multisched.density import REDUCTIONS, Reduce, log_prob
from multisched.errors import ScheduleError
from multisched.table.plan import Plan
from multisched.table.state import State
from multisched.values import option, shown


class Scores(NamedTuple, Generic[B]):
    """The Gaussians of the rows that add noise, stacked.

    Attributes:
        log_probs: (noisy rows, samples), or with reduce="none" (noisy rows, samples, ...).
        means: (noisy rows, samples, ...).
        stds: (noisy rows,).

    Example:
        >>> plan, model = ms.rl.plan("flow_grpo", ms.FlowMatchEuler(), 4), lambda x, t: 0.5 * x
        >>> run = ms.rl.rollout(model, plan, np.ones((2, 3)), rng=0)
        >>> ms.rl.rescore(model, plan, run).means.shape
        (4, 2, 3)
    """

    log_probs: B
    means: B
    stds: B


class Rollout(NamedTuple, Generic[B]):
    """A run and all that reinforcement learning keeps of it: arrays alone, in the dtype of the sums.

    Attributes:
        sample: the samples at the end, in the dtype of the noise.
        states: (rows + 1, samples, ...) the sample before each row, and at the end.
        memory: of each register of the solver, (rows + 1, samples, ...).
        noises: of each draw, (noisy rows, samples, ...).
        log_probs, means, stds: as of `Scores`.

    Example:
        >>> plan = ms.rl.plan("flow_grpo", ms.FlowMatchEuler(), 4)
        >>> run = ms.rl.rollout(lambda x, t: 0.5 * x, plan, np.ones((2, 3)), rng=0)
        >>> run._fields
        ('sample', 'states', 'memory', 'noises', 'log_probs', 'means', 'stds')
    """

    sample: B
    states: B
    memory: tuple[B, ...]
    noises: tuple[B, ...]
    log_probs: B
    means: B
    stds: B


def noisy_rows(plan: Plan) -> tuple[int, ...]:
    """The rows of a plan that add noise, which are those that have a log-probability.

    Args:
        plan: from `plan`, or any other.

    Example:
        >>> ms.rl.noisy_rows(ms.rl.plan("flow_grpo", ms.FlowMatchEuler(), 4))
        (0, 1, 2, 3)
    """
    return tuple(row for row in range(len(plan)) if plan.needs_noise(row))


def rollout(
    model: Callable[[B, Any], B],
    plan: Plan,
    noise: B,
    rng: Any = 0,
    reduce: Reduce = "sum",
    compile: bool = False,
) -> Rollout[B]:
    """Run a plan and keep its states, noises, means and log-probabilities.

    Rows that add no noise, such as those outside MixGRPO's window, have none of the last three.

    Args:
        model: model(x, t) -> output, as of `ms.sample`.
        plan: with rows that add noise, such as `ms.rl.plan` makes.
        noise: unit normals (samples, ...).
        rng: seed, sequence of seeds or source of the noise of the steps.
        reduce: "sum" or "mean" over the elements of a sample, or "none", see `ms.log_prob`.
        compile: whether Gaussians and log-probabilities are computed by a function that the library has compiled.
            Ratios are exactly 1 on policy if `rescore` does as the roll-out did.

    Raises:
        ScheduleError: if no row of the plan adds noise, or as `ms.sample` and `Plan.transition`.

    Example:
        >>> plan = ms.rl.plan("flow_grpo", ms.FlowMatchEuler(), 6)
        >>> run = ms.rl.rollout(lambda x, t: 0.5 * x, plan, ms.noise.normal((2, 3)), rng=1)
        >>> run.states.shape, run.log_probs.shape
        ((7, 2, 3), (6, 2))
        >>> bool((ms.rl.rescore(lambda x, t: 0.5 * x, plan, run).log_probs == run.log_probs).all())
        True
    """
    rows = _checked(plan, reduce)
    backend, source = backends.of(noise), noise_sources.source(rng)
    state = plan.start(noise, dtype=backend.compute_dtype(noise.dtype))
    states, draws, scores = [state], [], []
    for row in range(len(plan)):
        output = _asked(model, plan, backend, state, row, noise.dtype)
        drawn = noise_sources.draw_row(source, plan, row, state.sample)
        after = plan.step(state, output, drawn)
        if drawn is not None:
            draws.append(drawn)
            scores.append(_score(backend, plan, state, output, after.sample, reduce, compile))
        state = after
        states.append(state)
    stack = backend.xp.stack
    return Rollout(
        backend.astype(state.sample, noise.dtype),
        stack([one.sample for one in states]),
        tuple(map(stack, zip(*(one.memory for one in states), strict=True))),
        tuple(map(stack, zip(*draws, strict=True))),
        *_stacked(backend, scores, plan, rows, state.sample),
    )


def rescore(
    model: Callable[[B, Any], B],
    plan: Plan,
    run: Rollout[B],
    rows: Iterable[int] | None = None,
    reduce: Reduce = "sum",
    compile: bool = False,
) -> Scores[B]:
    """The log-probabilities of a roll-out's steps under a model: of the same model bit-equal to the roll-out's, so that
    the ratio is exactly 1.

    It is differentiable in what the model holds. Inside a larger compiled function a compiler may contract sums
    otherwise, and the ratio is 1 within rounding; take the gradient-free result of that same function for the old
    log-probabilities where it must be 1.

    Args:
        model: the policy, as of `rollout`.
        plan: of the roll-out.
        run: the roll-out.
        rows: of the plan's `noisy_rows` those to score; None for all.
        reduce, compile: as of the roll-out.

    Raises:
        ScheduleError: if a row adds no noise, or the roll-out is not the plan's.

    Example:
        >>> plan, model = ms.rl.plan("flow_grpo", ms.FlowMatchEuler(), 4), lambda x, t: 0.5 * x
        >>> run = ms.rl.rollout(model, plan, np.ones((2, 3)), rng=0)
        >>> scores = ms.rl.rescore(model, plan, run)
        >>> ms.rl.ratio(scores.log_probs, run.log_probs).tolist()
        [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    """
    every = _checked(plan, reduce)
    chosen = every if rows is None else tuple(rows)
    if not chosen or not set(chosen) <= set(every):
        raise ScheduleError(f"rows to score are some of those that add noise, {shown(every)}; given {shown(chosen)}.")
    if run.states.shape[0] != len(plan) + 1:
        raise ScheduleError(
            f"the roll-out has {run.states.shape[0] - 1} rows, the plan {len(plan)}: give its own plan."
        )
    backend, narrow = backends.of(run.states), run.sample.dtype
    states: Any = run.states
    memory: Any = run.memory
    scores = []
    for row in chosen:
        state = State(states[row, ...], tuple(one[row, ...] for one in memory), row)
        output = _asked(model, plan, backend, state, row, narrow)
        scores.append(_score(backend, plan, state, output, states[row + 1, ...], reduce, compile))
    return Scores(*_stacked(backend, scores, plan, chosen, run.states))


def _checked(plan: Any, reduce: Any) -> tuple[int, ...]:
    option("reduce", reduce, REDUCTIONS)
    if not isinstance(plan, Plan):
        raise ScheduleError(f"a roll-out follows a plan, which ms.rl.plan() makes; given {type(plan).__name__}.")
    rows = noisy_rows(plan)
    if not rows:
        raise ScheduleError(
            f"no step of {plan.name} adds noise, so that none has a log-probability: take one of ms.rl.plan()."
        )
    return rows


def _asked(model: Any, plan: Plan, backend: Backend[Any], state: State[Any], row: int, narrow: Any) -> Any:
    t = backend.asarray(plan.timesteps, state.sample.dtype, backend.device(state.sample))[row, ...]
    return model(backend.astype(plan.model_input(state), narrow), t)


def _score(
    backend: Backend[Any], plan: Plan, state: State[Any], output: Any, after: Any, reduce: Reduce, compile: bool
) -> tuple[Any, Any]:
    """(log-probability, mean) of the step that led from a state to a sample."""
    if compile:
        found: tuple[Any, Any] = _compiled(backend, plan, state.index, reduce)(
            state.sample, state.memory, output, after
        )
        return found
    mean, std = plan.transition(state, output)
    return log_prob(after, mean, std, reduce), mean


@lru_cache(maxsize=256)
def _compiled(backend: Backend[Any], plan: Plan, row: int, reduce: Reduce) -> Any:
    def function(sample: Any, memory: tuple[Any, ...], output: Any, after: Any) -> tuple[Any, Any]:
        return _score(backend, plan, State(sample, memory, row), output, after, reduce, False)

    return backend.compile(function)


def _stacked(backend: Backend[Any], scores: Any, plan: Plan, rows: tuple[int, ...], like: Any) -> tuple[Any, Any, Any]:
    log_probs, means = (backend.xp.stack(one) for one in zip(*scores, strict=True))
    return log_probs, means, backend.asarray([_std(plan, row) for row in rows], like.dtype, backend.device(like))


def _std(plan: Plan, row: int) -> float:
    """The deviation of a row's noise, from the plan alone."""
    weights = plan.folded.weights[row, 0, -plan.noise_draws :]
    return float((weights**2).sum() ** 0.5)
