"""Continuous batching: requests with schedulers and steps of their own share each model call; a new one takes the slot
of one that is done. Each gets the picture that it would get alone.

python examples/serving.py [numpy|torch|jax|mlx]
"""

import sys
from collections import deque

import numpy as np

import multisched as ms
from multisched.analysis import Gaussian, model_of

backend = ms.backends.get(sys.argv[1] if len(sys.argv) > 1 else "numpy")
like = ms.FlowMatchEuler(shift=3.0)
plans = [like.plan(8), ms.sampler("dpmpp_2m", like=like).plan(5), ms.FlowMatchHeun(shift=3.0).plan(4)]
model = model_of(like, Gaussian(mean=0.4, std=0.6))
queue = deque((number, number % len(plans)) for number in range(9))  # (request, its plan)


def noise(request):
    """The starting noise of a request, which its number seeds."""
    return ms.noise.normal((1, 16), rng=request, backend=backend)


stack, slots, pictures, calls = ms.stack_plans(plans), [queue.popleft() for _ in range(3)], {}, 0
first = backend.xp.concat([noise(request) for request, _ in slots], axis=0)
state = stack.start(first, plans=[plan for _, plan in slots])
while any(slots):
    times = stack.timestep(state)
    state = stack.step(state, model(stack.model_input(state), times))
    calls += 1
    for slot, ended in enumerate(backend.to_numpy(stack.done(state)).tolist()):
        if not ended or slots[slot] is None:
            continue
        pictures[slots[slot][0]] = backend.to_numpy(state.sample)[slot]
        slots[slot] = queue.popleft() if queue else None
        if slots[slot]:
            request, plan = slots[slot]
            state = stack.put(state, slot, stack.start(noise(request), plans=[plan]))

alone = {k: backend.to_numpy(ms.sample(model, plans[k % len(plans)], noise(k)))[0] for k in pictures}
apart = max(float(np.abs(pictures[k] - alone[k]).max()) for k in pictures)
total = sum(len(plans[k % len(plans)]) for k in pictures)
print(f"{backend.name}: {len(pictures)} requests in {calls} calls instead of {total}; apart by {apart:.0e}")
