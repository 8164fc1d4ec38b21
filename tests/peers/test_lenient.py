"""What `from_diffusers(..., strict=False)` accepts, against diffusers' runs of it."""

import numpy as np
import pytest
from parity import exact_roots
from runs import Run, our_rows, rows

import multisched as ms
from multisched.interop.diffusers import PEERS

TOLERANCE = {"UniPCMultistepScheduler": 5e-2}  # float32 of alpha = 1e-6, as 1 - sigma
BETAS = np.linspace(1e-4, 0.02, 1100).tolist()
VALUES = {
    "sample_max_value": (0.5, 0.0, -1.0),
    "dynamic_thresholding_ratio": (0.0,),
    "trained_betas": (BETAS, BETAS[:900], [*BETAS[:999], 1.0], [0.0] * 10 + BETAS[:990]),
    "beta_start": (0.0, 0.03),
    "beta_end": (1.0, 1.5),
    "clip_sample": (0, 1),
    "use_karras_sigmas": (1,),
    "use_flow_sigmas": (1,),
    "lower_order_final": (0,),
    "steps_offset": (1.0,),
    "solver_order": (4, 6),
    "variance_type": ("other",),
    "shift_terminal": (0.0,),
}


def cases(name):
    """Configurations of a class, each with one odd value. IPNDM's trained_betas are the levels of its runs."""
    for key in VALUES if name != "IPNDMScheduler" else ():
        cut = key.startswith(("sample_max", "dynamic"))
        for more in ({}, {"thresholding": True}) if cut and "thresholding" in PEERS[name].keys else ({},):
            yield from ({**more, key: value} for value in VALUES[key] if key in PEERS[name].keys)


def theirs_of(name, config, stages):
    """diffusers' run and samples; None if they are not finite."""
    try:
        with exact_roots():
            run = Run(name, config, num_inference_steps=5)
        found = list(rows(run, stages or (0,) * len(run.timesteps)))
    except Exception:
        return None
    return (run, found) if np.all(np.isfinite(found)) else None


def wrong(name, config):
    """Whether it is otherwise than in diffusers."""
    try:
        plan = ms.from_diffusers({**config, "_class_name": name}, strict=False).plan(5)
    except ms.ScheduleError as error:
        # At alpha = 0 diffusers divides by 0 and cuts the infinity; at sigma = 0 there is no noise to be told.
        told = any(why in str(error) for why in ("says nothing", "no noise is left", "one noise level"))
        return not told and theirs_of(name, config, None) is not None
    theirs = theirs_of(name, config, plan.stages)
    if theirs is None:
        return False
    ours = our_rows(plan, theirs[0].parts)
    apart = [np.max(np.abs(a - b)) / np.max(np.abs(b)) for a, b in zip(ours, theirs[1], strict=True)]
    return max(apart) > TOLERANCE.get(name, 1e-3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [one for one in sorted(PEERS) if list(cases(one))])
def test_runs_are_diffusers(name):
    assert [f"{config!r:.200}" for config in cases(name) if wrong(name, config)] == []
