"""Edits of handwritten digits by the exact model of a data set, a row of the picture for each: image to image,
inpainting, RePaint, inversion, FlowEdit, and two models in one run.

python examples/editing.py [numpy|torch|jax|mlx] [editing.png]
"""

import sys

import numpy as np

import multisched as ms
from multisched import digits, editing, pictures
from multisched.analysis import DataSet, model_of

backend = ms.backends.get(sys.argv[1] if len(sys.argv) > 1 else "numpy")
recipe, plan = ms.FlowMatchEuler(shift=2.0), ms.FlowMatchEuler(shift=2.0).plan(12)
scans, images = digits.images()[:240], {}
every = model_of(recipe, DataSet(scans))
# The digits begin with 0 to 9, three times over: the threes and the eights among the first 30.
threes, eights = (model_of(recipe, DataSet(scans[[k, k + 10, k + 20]])) for k in (3, 8))
x0 = backend.asarray(scans[[3, 13, 23]])
noise = ms.noise.normal(tuple(x0.shape), rng=0, backend=x0)
top = backend.asarray((np.arange(8) < 4).astype(np.float32)[:, None])

images["source"] = x0
images["image to image"] = ms.sample(every, recipe.plan(12, strength=0.8), noise, x0=x0)
images["inpaint"] = editing.inpaint(every, plan, noise, x0, top)
images["repaint"] = editing.repaint(every, plan, noise, x0, top, jump_length=3, jump_n_sample=4)
images["inverted, then eights"] = ms.sample(eights, plan, editing.invert(threes, plan, x0))
images["flow edit"] = editing.flow_edit(threes, eights, plan, x0, n_avg=2, n_max=9)
images["threes, then every digit"] = editing.handover(threes, every, plan, noise, boundary=700)

exact = ms.Scheduler(*recipe.parts()[:3], ms.solvers.BDIA(0.9)).plan(12)  # a solver that can be taken back
again = editing.exact_sample(every, exact, editing.exact_invert(every, exact, x0)).sample
images["inverted and back"] = again

for name, found in images.items():
    print(f"{backend.name}: {name:26} {np.abs(backend.to_numpy(found - x0)).mean():.3f} from the source")
kept = np.array_equal(backend.to_numpy(images["inpaint"])[:, :, :4], scans[[3, 13, 23], :, :4])
apart = np.abs(backend.to_numpy(again - x0)).max()
print(f"what is known is kept: {kept}; exact inversion: {apart < 1e-6}")
picture = pictures.grid(np.concatenate([backend.to_numpy(one) for one in images.values()]), columns=3)
if len(sys.argv) > 2:
    picture.save(sys.argv[2])
