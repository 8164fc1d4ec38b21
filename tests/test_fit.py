"""Plans fitted to a model: the reference against closed forms, the least squares against another solution of them, and
what becomes of errors; and files of numbers."""

import json
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from zoo import EVERY

import multisched as ms
from multisched.analysis import Gaussian, Mixture, fit, load, model_of, save
from multisched.analysis.flow import after_each_row

STABLE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
RECIPES = {
    "flow-euler": ms.FlowMatchEuler(shift=2.0),
    "flow-inverted": ms.FlowMatchEuler(invert_sigmas=True),
    "flow-heun": ms.FlowMatchHeun(),
    "flow-auto": ms.sampler("auto", like=ms.FlowMatchEuler(), calls=8),
    "vp-ddim": ms.DDIM(**STABLE, clip_sample=False, timestep_spacing="trailing"),
    "vp-dpm": ms.DPMSolverMultistep(**STABLE, use_karras_sigmas=True),
    "vp-unipc": ms.UniPCMultistep(**STABLE, use_karras_sigmas=True),
    "vp-zero-snr": ms.DDIM(
        rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing="trailing", clip_sample=False
    ),
    "ve-euler": ms.Euler(**STABLE, use_karras_sigmas=True),
    "ve-to-a-level": ms.Euler(**STABLE, use_karras_sigmas=True, final_sigmas_type="sigma_min"),
    "ve-dpm2": ms.KDPM2(**STABLE),
    "ve-pndm": ms.PNDM(**STABLE),
    "edm": ms.EDMEuler(),
    "edm-dpm": ms.EDMDPMSolverMultistep(),
}
each_recipe = pytest.mark.parametrize("name", RECIPES)
host = pytest.mark.host
rng = np.random.default_rng(3)
LAW = Mixture(0.8 * rng.standard_normal((5, 4)), 0.3)
TRAIN, TEST = rng.standard_normal((48, 4)), rng.standard_normal((64, 4))


def _rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


def _asked(model, *given):
    return lambda x, t: model(x, np.array(t), *given)


def _start(plan, noise):
    return float(plan.grid.init_noise_sigma) * noise


def _guided(model):
    """Steeper with guidance: twice as far from the mean of the law at 3."""
    return lambda x, t, guidance: model(x, t) * (1 + 0.1 * (guidance - 1))


@host
@each_recipe
def test_the_reference_is_the_flow(name):
    """That of a Gaussian in closed form, at every level where the model is asked, and then x0."""
    recipe, target = RECIPES[name], Gaussian(0.3, 0.6)
    # Between whole timesteps, the perfect model of a discrete path takes the level for that of the timestep.
    plan, close = recipe.plan(7), 1e-4 if name.startswith("v") else 3e-6
    found = after_each_row(_asked(model_of(recipe, target)), plan, _start(plan, TEST), 200)
    levels = list(zip(plan.rows.alpha[:, 0], plan.rows.sigma[:, 0], strict=True))
    for level, sample in zip(levels[1:], found, strict=False):
        wanted = target.flow_map(_start(plan, TEST), levels[0], level)
        np.testing.assert_allclose(sample, wanted, atol=close * max(level[1], 1))
    alpha, sigma = plan.alphas[-1], plan.sigmas[-1]
    if sigma > 0:
        last = target.flow_map(_start(plan, TEST), levels[0], (alpha, sigma))
    else:
        path = recipe.parts().path
        cleanest = path.at(np.array(float(path.trained(0))))
        alpha, sigma = min([(cleanest.alpha, cleanest.sigma), *levels], key=lambda one: one[1] / max(one[0], 1e-9))
        last = target.flow_map(_start(plan, TEST), levels[0], (float(alpha), float(sigma)))
        last = target.denoised(ms.backends.get("numpy"), last, float(alpha), float(sigma))
    np.testing.assert_allclose(found[-1], last, atol=close)


@host
@each_recipe
def test_errors_become_smaller(name):
    """On the noises of the fit in every case; on others in most."""
    recipe = RECIPES[name]
    plan, model = recipe.plan(8), model_of(recipe, LAW)
    fitted = fit(model, plan, TRAIN, None, steps=40)
    errors = {}
    for key, noise in (("train", TRAIN), ("test", TEST)):
        wanted = after_each_row(_asked(model), plan, _start(plan, noise), 40)[-1]
        errors[key] = [_rms(ms.sample(model, one, noise) - wanted) for one in (plan, fitted)]
    assert errors["train"][1] <= errors["train"][0]
    assert errors["test"][1] <= errors["test"][0] * (0.9 if name in ("flow-euler", "vp-ddim", "edm") else 1.1)


@host
@each_recipe
def test_a_gaussian_is_met_exactly(name):
    """Its flow is linear, which one weight a row can say."""
    recipe, target = RECIPES[name], Gaussian(0.0, 0.5)
    plan = recipe.plan(6)
    fitted = fit(model_of(recipe, target), plan, TRAIN, None, steps=300, ridge=1e-9)
    wanted = after_each_row(_asked(model_of(recipe, target)), plan, _start(plan, TEST), 300)[-1]
    exact, own = (ms.sample(model_of(recipe, target), one, TEST) for one in (fitted, plan))
    assert _rms(exact - wanted) < 1e-5 < 1e-3 < _rms(own - wanted)


@host
@each_recipe
def test_a_heavy_ridge_gives_the_plan_back(name):
    plan = RECIPES[name].plan(5)
    fitted = fit(model_of(RECIPES[name], LAW), plan, TRAIN, None, steps=10, ridge=1e13)
    size = np.max(np.abs(plan.tableau.weights), axis=2, keepdims=True)
    assert np.max(np.abs(fitted.tableau.weights - plan.tableau.weights) / np.maximum(size, 1)) < 1e-9
    assert (fitted.name, fitted.order, fitted.rows) == (plan.name, plan.order, plan.rows)


@host
@pytest.mark.parametrize("guidances", [(1.0,), (1.0, 3.0), (1.0, 3.0, 5.0)])
def test_the_weights_are_those_of_least_squares(guidances):
    """Of the first two rows, by NumPy's own method on the rows of all guidances and of the ridge; the second where the
    fitted first one leads."""
    recipe, ridge = RECIPES["vp-dpm"], 0.03
    plan, model = recipe.plan(5), _guided(model_of(recipe, LAW))
    found = fit(model, plan, TRAIN, guidances, steps=20, ridge=ridge).tableau.weights
    own, (p, q) = plan.tableau.weights, plan.tableau.x0_weights.T
    wanted = [after_each_row(_asked(model, one), plan, _start(plan, TRAIN), 20) for one in guidances]
    states = [[_start(plan, TRAIN), *np.zeros((len(plan.tableau.registers) - 1, *TRAIN.shape))] for _ in guidances]
    for row in range(2):
        left, right, power = [], [], 0.0
        for k, guidance in enumerate(guidances):
            sample = states[k][0]
            output = model(plan.rows.scale[row, 0] * sample, np.array(plan.timesteps[row]), guidance)
            operands = np.array([*states[k], output, p[row] * sample + q[row] * output])
            flat = operands.reshape(len(operands), -1).T
            away = wanted[k][row].ravel() - flat @ own[row, 0]
            left.append(flat[:, :-1] / _rms(away))
            right.append(away / _rms(away))
            power = power + np.mean(left[-1] ** 2, axis=0)
            states[k] = list(np.tensordot(found[row], operands, 1))
        left.append(np.diag(np.sqrt(ridge * power * TRAIN.size)))
        right.append(np.zeros(power.size))
        change = np.linalg.lstsq(np.concatenate(left), np.concatenate(right), rcond=None)[0]
        np.testing.assert_allclose(found[row, 0, :-1], own[row, 0, :-1] + change, rtol=1e-7, atol=1e-9)
        np.testing.assert_array_equal(found[row, 1:], own[row, 1:])
        assert np.max(np.abs(change)) > 1e-3


@pytest.mark.parametrize("name", ["flow-heun", "flow-auto", "vp-dpm", "edm"])
def test_it_is_fitted_and_runs_alike_on_every_library(name, backend, make):
    recipe = RECIPES[name]
    plan, model, noise = recipe.plan(4), model_of(recipe, LAW), TRAIN[:16]
    here = fit(model, plan, noise, None, steps=8)
    there = fit(model, plan, make(noise), None, steps=8)
    wanted = ms.sample(model, here, TEST)
    np.testing.assert_allclose(ms.sample(model, there, TEST), wanted, atol=2e-3)
    assert _rms(ms.sample(model, plan, TEST) - wanted) > 0.02
    found = backend.to_numpy(ms.sample(model, here, make(TEST)))
    np.testing.assert_allclose(found, wanted, atol=2e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # what torch says of itself while it compiles
@pytest.mark.parametrize("name", ["flow-auto", "vp-unipc"])
def test_it_is_compiled_resumed_and_scanned(name, backend, make):
    recipe = RECIPES[name]
    model = model_of(recipe, LAW)
    fitted = fit(model, recipe.plan(6), TRAIN, None, steps=20)
    noise = make(TEST)
    eager = backend.to_numpy(ms.sample(model, fitted, noise))
    state = fitted.start(noise)
    for row in range(6):
        if row == 3:
            arrays = pickle.loads(pickle.dumps([backend.to_numpy(one) for one in (state.sample, *state.memory)]))
            state = state._replace(sample=make(arrays[0]), memory=tuple(map(make, arrays[1:])))
        state = fitted.step(state, model(fitted.model_input(state), fitted.timestep(state)))
    np.testing.assert_allclose(backend.to_numpy(state.sample), eager, atol=2e-5)
    loops = {"torch": ("compile",), "mlx": ("compile",), "jax": ("compile", "scan")}.get(backend.name, ())
    for loop in loops:
        found = backend.to_numpy(ms.sample(model, fitted, noise, loop=loop))
        np.testing.assert_allclose(found, eager, atol=2e-4)


@host
def test_half_precision_is_fitted_in_single():
    recipe = RECIPES["flow-euler"]
    plan, model = recipe.plan(4), model_of(recipe, LAW)
    one, other = (fit(model, plan, TRAIN.astype(np.float16).astype(kind), None, steps=10) for kind in ("f2", "f4"))
    np.testing.assert_array_equal(one.tableau.weights, other.tableau.weights)


@host
def test_guidances_are_passed_on():
    recipe, seen = RECIPES["flow-euler"], []
    model = model_of(recipe, LAW)

    def guided(x, t, guidance):
        seen.append(guidance)
        return model(x, t)

    plain = fit(model, recipe.plan(3), TRAIN, None, steps=5)
    assert fit(guided, recipe.plan(3), TRAIN, steps=5) == fit(guided, recipe.plan(3), TRAIN, (1, 3), steps=5)
    assert set(seen) == {1.0, 3.0}
    np.testing.assert_allclose(
        fit(guided, recipe.plan(3), TRAIN, (2.0,), steps=5).tableau.weights, plain.tableau.weights
    )
    # 20 steps of Runge and Kutta and 3 rows for each guidance
    seen.clear()
    fit(guided, recipe.plan(3), TRAIN, (2.0, 4.0), steps=30)
    assert len(seen) % 2 == 0 and 2 * (4 * 30 + 3) <= len(seen) <= 2 * (4 * 33 + 4)


@host
def test_a_plan_knows_its_path_without_being_another():
    recipe = RECIPES["vp-dpm"]
    plan = recipe.plan(4)
    assert plan.path == recipe.parts().path and plan.prediction == recipe.parts().prediction
    bare = replace(plan, path=None, prediction=None)
    assert bare == plan and hash(bare) == hash(plan)
    assert pickle.loads(pickle.dumps(plan)).path == plan.path
    assert "Discrete" not in repr(plan)


@host
def test_a_plan_without_steps_is_itself():
    plan = RECIPES["flow-euler"].plan(4, stop=0)
    assert fit(model_of(RECIPES["flow-euler"], LAW), plan, TRAIN, None) == plan
    one = RECIPES["flow-euler"].plan(1)
    assert len(fit(model_of(RECIPES["flow-euler"], LAW), one, TRAIN, None, steps=5)) == 1


def _fit(recipe, model=None, noises=TRAIN, **options):
    plan = recipe if isinstance(recipe, ms.Plan) or not hasattr(recipe, "plan") else recipe.plan(4)
    perfect = model_of(recipe, LAW) if isinstance(recipe, ms.Recipe) else None
    return fit(model or perfect, plan, noises, **{"guidances": None, "steps": 5} | options)


FLOW = RECIPES["flow-euler"]
REFUSED = {
    "fit takes a plan of NumPy's numbers; given 3": lambda: _fit(3),
    "Euler adds noise": lambda: _fit(ms.Euler(s_churn=1.0)),
    "DDIM changes outputs by": lambda: _fit(ms.DDIM(clip_sample=True)),
    "RePaint starts from": lambda: _fit(ms.RePaint(eta=0.0)),
    "LCM follows no probability flow": lambda: _fit(ms.LCM().plan(1), lambda x, t: x),
    "Scheduler splits outputs": lambda: _fit(ms.sampler("euler_cfg_pp")),
    "this one of FlowMatchEuler begins elsewhere": lambda: _fit(FLOW.plan(4, start=1)),
    "this one of DDIMInverse begins elsewhere": lambda: _fit(ms.DDIMInverse(clip_sample=False)),
    "not known; give a plan as a recipe has made it": lambda: _fit(replace(FLOW.plan(4), path=None)),
    "steps must be in 1..10000; given 0": lambda: _fit(FLOW, steps=0),
    "ridge must be a positive number; given 0.0": lambda: _fit(FLOW, ridge=0),
    "ridge must be a positive number; given inf": lambda: _fit(FLOW, ridge=math.inf),
    "ridge must be a positive number; given nan": lambda: _fit(FLOW, ridge=math.nan),
    "guidances must": lambda: _fit(FLOW, guidances=("a",)),
    "guidances must be": lambda: _fit(FLOW, guidances=()),
    "noises must be finite numbers": lambda: _fit(FLOW, noises=np.zeros((0, 4))),
    "noises must be finite numbers.*nan": lambda: _fit(FLOW, noises=np.full((3, 4), np.nan)),
    "output at timestep 1000 is not finite": lambda: _fit(FLOW, lambda x, t: x * np.nan),
    r"returns an array like x, of shape \(48, 4\)": lambda: _fit(FLOW, lambda x, t: x[:, :2]),
    "expected an array of": lambda: _fit(FLOW, lambda x, t: 3.0),
}


@host
@pytest.mark.parametrize("told", REFUSED)
def test_what_is_refused(told):
    with pytest.raises(ms.ScheduleError, match=told) as refused:
        REFUSED[told]()
    assert "\n" not in str(refused.value)


@host
def test_files_hold_every_plan_to_the_bit(tmp_path):
    kept = 0
    for name, recipe in {**EVERY, "repaint-inputs": ms.RePaint(clip_sample=False)}.items():
        plan = recipe.plan(4)
        if any(getattr(plan, one) is not None for one in ("output_transform", "denoised_transform", "noise_transform")):
            with pytest.raises(ms.ScheduleError, match=r"changes outputs by .* which is no number to be written"):
                save(plan, tmp_path / "no.json")
            continue
        save(plan, tmp_path / f"{name}.json")
        again = load(str(tmp_path / f"{name}.json"))
        assert again == plan and hash(again) == hash(plan), name
        assert str(again) == str(plan) and again.layout == plan.layout and again.inputs == plan.inputs
        kept += 1
    assert kept > 50


def test_a_file_of_a_fitted_plan_runs_as_it_does(tmp_path, backend, make):
    recipe = RECIPES["flow-auto"]
    model = model_of(recipe, LAW)
    fitted = fit(model, recipe.plan(6), TRAIN, None, steps=10)
    save(fitted, tmp_path / "fitted.json")
    again = load(tmp_path / "fitted.json")
    assert again == fitted and again != recipe.plan(6)
    found, wanted = (backend.to_numpy(ms.sample(model, one, make(TEST))) for one in (again, fitted))
    np.testing.assert_array_equal(found, wanted)
    with pytest.raises(ms.ScheduleError, match="the levels between those of Scheduler are not known"):
        fit(model, again, TRAIN, None)


@host
def test_files_that_are_refused(tmp_path):
    with pytest.raises(ms.ScheduleError, match="save takes a plan of NumPy's numbers; given 'plan'"):
        save("plan", tmp_path / "plan.json")
    with pytest.raises(ms.ScheduleError, match=r"is no file of a plan, as analysis.save writes it"):
        load(tmp_path / "absent.json")
    file = tmp_path / "plan.json"
    save(FLOW.plan(3), file)
    whole = json.loads(file.read_text())
    broken = [
        "",
        "[1, 2]",
        json.dumps({**whole, "format": "another"}),
        json.dumps({key: value for key, value in whole.items() if key != "weights"}),
        json.dumps({**whole, "weights": whole["weights"][:2]}),
        json.dumps({**whole, "rows": {**whole["rows"], "sigma": [1.0]}}),
        json.dumps({**whole, "grid": {**whole["grid"], "sigmas": [1.0, "a", 2.0, 3.0]}}),
        json.dumps({**whole, "order": "two"}),
        json.dumps({**whole, "registers": 5}),
        json.dumps(whole).replace("0.5", "NaN").replace("1.0", "NaN"),
    ]
    for text in broken:
        file.write_text(text)
        with pytest.raises(ms.ScheduleError) as refused:
            load(file)
        assert str(refused.value).endswith(".") and "\n" not in str(refused.value)
