"""
Error over model calls
======================

How many calls does a sampler need? The model is exact: the denoiser of a mixture of Gaussians, so the error is the
sampler's alone. Slopes say the order; what counts in practice is who is low at 10 calls.
"""

import matplotlib.pyplot as plt
import numpy as np

import multisched as ms

data = ms.analysis.Mixture(means=[[-1.0, 0.4], [0.6, 1.0], [0.8, -0.9]], stds=[0.5, 0.35, 0.45])
like = ms.FlowMatchEuler()
model, noise = ms.analysis.model_of(like, data), ms.noise.normal((32, 2), rng=0).astype(np.float64)


def drawn(name, calls):
    """Samples, and how many calls they took."""
    more = {"calls": calls, "guidance": 1.0} if name == "auto" else {"spacing": "simple"}
    each = {"heun": 2, "rk4": 4}.get(name, 1)  # calls a step
    plan = ms.sampler(name, like=like, **more).plan(max(calls // each, 1))
    return ms.sample(model, plan, noise), len(plan)


exact, _ = drawn("rk4", 800)
figure, axes = plt.subplots(figsize=(7.5, 4.6), layout="constrained")
styles = {"euler": "o", "heun": "s", "dpmpp_2m": "^", "uni_pc_bh2": "D", "ipndm": "v", "rk4": "x", "auto": "o"}
for name, marker in styles.items():
    found = [drawn(name, calls) for calls in (8, 12, 16, 24, 32, 48, 64)]
    errors = [np.sqrt(np.mean((samples - exact) ** 2)) for samples, _ in found]
    wide = {"color": "crimson", "lw": 2.5} if name == "auto" else {"lw": 1.2}
    axes.loglog([calls for _, calls in found], errors, marker=marker, ms=5, label=name, **wide)
axes.set_xticks([8, 16, 32, 64], [8, 16, 32, 64])
axes.set(xlabel="model calls", ylabel="error (RMS)", title="Flow matching, exact model, 32 samples")
axes.minorticks_off()
axes.grid(color="0.9")
axes.legend(frameon=False, ncols=2)
plt.show()
