"""A scheduler of a model of the Hub, offline: from the cache that huggingface_hub keeps.

python examples/faces/hub.py

Here the cache holds one model that was laid down in it by hand; where there is a network, nothing of this is needed:
ms.from_diffusers("org/model").
"""

import json
import os
import tempfile
from pathlib import Path

CONFIG = {
    "_class_name": "EulerDiscreteScheduler",
    "_diffusers_version": "0.37.0",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "timestep_spacing": "leading",
    "steps_offset": 1,
    "use_karras_sigmas": True,
}
COMMIT = "0" * 40

with tempfile.TemporaryDirectory() as cache:
    os.environ |= {"HF_HUB_CACHE": cache, "HF_HUB_OFFLINE": "1"}
    model = Path(cache) / "models--org--model"
    scheduler = model / "snapshots" / COMMIT / "scheduler"
    scheduler.mkdir(parents=True)
    (scheduler / "scheduler_config.json").write_text(json.dumps(CONFIG))
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(COMMIT)

    import multisched as ms

    recipe = ms.from_diffusers("org/model")
    assert recipe == ms.from_diffusers("org/model", subfolder="scheduler", revision=COMMIT)

print(f"{type(recipe).__name__} from org/model, {len(recipe.report.used)} keys used")
print(recipe.plan(5).sigmas.round(2).tolist())
