"""Stop a run half way, keep its state in a file, and go on from it: the end is the same, bit for bit.

python examples/resume.py [numpy|torch|jax|mlx]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import multisched as ms
from multisched.analysis import Gaussian, model_of

backend = ms.backends.get(sys.argv[1] if len(sys.argv) > 1 else "numpy")
recipe = ms.FlowMatchHeun(shift=3.0)
plan = recipe.plan(10)
model = model_of(recipe, Gaussian(mean=0.5, std=0.2))
noise = ms.noise.normal((4, 8), rng=0, backend=backend)


def run(state, rows):
    """The state after these rows of the plan."""
    for row in rows:
        state = plan.step(state, model(plan.model_input(state), plan.timesteps[row]))
    return state


half = run(plan.start(noise), range(7))
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "state.npz"
    np.savez(file, index=half.index, **{str(k): backend.to_numpy(a) for k, a in enumerate((half.sample, *half.memory))})
    kept = np.load(file)
    sample, *memory = (backend.asarray(kept[str(k)]) for k in range(1 + len(half.memory)))
    resumed = ms.State(sample, tuple(memory), int(kept["index"]))
    kept.close()

end, again = (backend.to_numpy(run(state, range(7, len(plan))).sample) for state in (half, resumed))
print(f"{backend.name}: resumed after 7 of {len(plan)} model calls; equal: {np.array_equal(end, again)}")
