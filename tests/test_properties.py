"""Whatever options are accepted make a sound plan."""

import numpy as np
import pytest
from hypothesis import given, reject, settings, strategies as st

import multisched as ms

STEPS = st.integers(1, 120)
FLOW = st.fixed_dictionaries(
    {
        "num_train_timesteps": st.sampled_from([120, 1000, 4096]),
        "shift": st.floats(0.01, 100),
        "sigma_max": st.floats(0.05, 1),
        "shift_terminal": st.none() | st.floats(0.01, 0.99),
    }
)
VP = st.fixed_dictionaries(
    {
        "num_train_timesteps": st.sampled_from([120, 1000]),
        "beta_schedule": st.sampled_from(["linear", "scaled_linear", "squaredcos_cap_v2"]),
        "beta_start": st.floats(1e-5, 1e-3),
        "beta_end": st.floats(2e-3, 0.05),
        "timestep_spacing": st.sampled_from(["leading", "trailing", "linspace"]),
        "prediction_type": st.sampled_from(["epsilon", "sample", "v_prediction"]),
        "rescale_betas_zero_snr": st.booleans(),
        "set_alpha_to_one": st.booleans(),
        "steps_offset": st.integers(-1, 2),
        "eta": st.sampled_from([0.0, 0.3, 1.0]),
        "clip_sample": st.booleans(),
    }
)


def _sound(plan, n):
    assert len(plan.grid) == n and plan.sigmas.shape == plan.alphas.shape == (n + 1,)
    assert np.all(np.diff(plan.sigmas[:-1]) < 0) and plan.sigmas[-1] <= plan.sigmas[-2]
    assert np.all(np.isfinite(plan.tableau.weights)) and np.all(np.diff(plan.grid.timesteps[:-1]) < 0)
    assert np.all((plan.alphas >= 0) & (plan.sigmas >= 0))


@pytest.mark.host
@settings(max_examples=150, deadline=None)
@given(options=FLOW, n=STEPS, kind=st.sampled_from([ms.FlowMatchEuler, ms.FlowMatchHeun, ms.FlowMatchPingPong]))
def test_flow_matching(options, n, kind):
    plan = kind(**options).plan(n)
    _sound(plan, n)
    again = kind(**options).plan(sigmas=plan.sigmas)
    np.testing.assert_array_equal(again.sigmas, plan.sigmas)


@pytest.mark.host
@settings(max_examples=150, deadline=None)
@given(options=VP, n=STEPS)
def test_variance_preserving(options, n):
    try:
        plan = ms.DDIM(**options).plan(n)
    except ms.ScheduleError:
        reject()  # hypothesis fails the test if most are refused
    _sound(plan, n)
    np.testing.assert_allclose(plan.alphas**2 + plan.sigmas**2, 1, rtol=1e-12)
