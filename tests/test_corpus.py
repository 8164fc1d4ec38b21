"""Published scheduler configurations: each is read with every key reported, and makes a plan."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import multisched as ms
from multisched.interop.diffusers import PEERS

FOLDER = Path(__file__).parent / "configs"
CONFIGS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
# Keys that pipelines and later versions leave behind in configurations of classes that never had them.
FOREIGN = {
    # class: keys
}


@pytest.mark.host
@pytest.mark.parametrize("model", CONFIGS)
def test_configuration_is_read_and_makes_a_plan(model):
    config = CONFIGS[model]
    recipe = ms.from_diffusers(FOLDER / f"{model}.json")
    assert recipe == ms.from_diffusers(config)
    report = recipe.report
    assert sorted([*report.used, *report.ignored]) == sorted(config)
    assert sorted([*report.used, *report.defaulted]) == sorted(PEERS[config["_class_name"]].keys)
    plan = _plan(recipe)
    assert len(plan.grid) >= 1
    assert np.all(np.isfinite(plan.tableau.weights))


def _plan(recipe):
    """A plan of four steps, with what pipelines give their schedulers."""
    if getattr(recipe, "use_dynamic_shifting", False):
        return recipe.plan(4, mu=1.15)
    if getattr(recipe, "num_train_timesteps", 1000) == 1:
        return recipe.plan(sigmas=[1.0, 0.75, 0.5, 0.25])
    return recipe.plan(4)


@pytest.mark.host
def test_the_list_of_configurations_is_complete():
    """README.md names each file, its class, and how its content is known, and nothing else."""
    rows = re.findall(r"^\| `(.+?)\.json` \| .+? \| `(.+?)` \| (.+?) \|$", (FOLDER / "README.md").read_text(), re.M)
    assert {file: name for file, name, _ in rows} == {model: config["_class_name"] for model, config in CONFIGS.items()}
    assert len(rows) == len(CONFIGS)
    assert all(re.match(r"(stored copy|quoted|values|memory)\b", how) for *_, how in rows)
