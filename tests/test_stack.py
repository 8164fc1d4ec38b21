"""Continuous batching: samples at different steps of different plans, in one step."""

import numpy as np
import pytest
from zoo import EVERY, arrays

import multisched as ms

STACKABLE = {name: recipe for name, recipe in EVERY.items() if name not in ("score-ve", "flow-euler-omega-batch")}
SHAPE = (3, 4)


def _alone(plan, make, request):
    """The request's own run, its index an array as in a batch of one; outputs are half the input."""
    state = plan.start(make(_noise(request, -1)))
    for row in range(len(plan)):
        state = plan.step(state, plan.model_input(state) * 0.5, _draws(plan, row, request, make))
    return state.sample


def _noise(request, row, draw=0):
    return arrays(1, (1, *SHAPE), seed=10_000 * request + 10 * (row + 1) + draw)[0]


def _draws(plan, row, request, make):
    return tuple(make(_noise(request, row, draw)) for draw in range(plan.noise_draws)) or None


def _serve(plans, make, backend, slots, compile):
    """All plans' runs, in a batch of `slots`: a run that is done makes room for the next."""
    xp, stack = backend.xp, ms.stack_plans(list(dict.fromkeys(plans)))
    numbers = [stack.plans.index(plan) for plan in plans]
    waiting, found = list(range(len(plans))), {}
    at = [(waiting.pop(0), 0) for _ in range(slots)]
    state = stack.start(make(np.concatenate([_noise(k, -1) for k, _ in at])), [numbers[k] for k, _ in at])
    while at != [None] * slots:
        draws = tuple(
            make(np.concatenate([_noise(*one, draw) if one else _noise(0, 0) for one in at]))
            for draw in range(stack.noise_draws)
        )
        state = stack.step(state, stack.model_input(state) * 0.5, draws, compile=compile)
        for slot, one in enumerate(at):
            if one is None:
                continue
            k, row = one
            at[slot] = (k, row + 1)
            if row + 1 == len(plans[k]):
                assert bool(stack.done(state)[slot])
                found[k] = backend.to_numpy(state.sample)[slot : slot + 1]
                at[slot] = (waiting.pop(0), 0) if waiting else None
                if at[slot]:
                    new = at[slot][0]
                    state = stack.put(state, slot, stack.start(make(_noise(new, -1)), [numbers[new]]))
    assert bool(xp.all(stack.done(state)))
    return [found[k] for k in range(len(plans))]


@pytest.fixture
def requests():
    """200 requests of random schedulers and lengths."""
    rng = np.random.default_rng(0)
    recipes = list(STACKABLE.values())
    fitting = []
    while len(fitting) < 200:
        plan = recipes[rng.integers(len(recipes))].plan(int(rng.integers(2, 9)))
        if plan.noise_transform is None and plan.tableau.outputs == 1 and not plan.inputs:
            fitting.append(plan)
    return fitting


def test_200_requests_through_a_batch_of_8(requests, make, backend):
    """Each is, bit for bit, what it is alone."""
    found = _serve(requests, make, backend, 8, compile=False)
    for k, plan in enumerate(requests):
        wanted = backend.to_numpy(_alone(plan, make, k))
        if plan.output_transform is None:
            np.testing.assert_array_equal(found[k], wanted)
        else:  # a mean, whose last bits depend on the order of the sum
            np.testing.assert_allclose(found[k], wanted, atol=1e-5 * max(1, np.abs(wanted).max()), rtol=0)
