"""What must hold of the whole zoo: every solver on every grid with every prediction recovers x0 from an exact model or
is refused, and every option of every recipe changes the plan."""

import itertools
import math
from dataclasses import fields, replace
from functools import cache
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from made import doubled, flow, grid, strided, ve, vp
from zoo import RECIPES, SOLVER_KINDS, SOLVERS, every_recipe, exempt, others, solver_name

import multisched as ms
from multisched import schedulers
from multisched.interop.diffusers import PEERS
from multisched.paths.exploding import TIMESTEPS
from multisched.predictions import _WEIGHTS as PREDICTIONS, Prediction
from multisched.schedulers.base import SETTINGS
from multisched.solvers import Solver
from multisched.spacings.levels import KINDS as RATIOS
from multisched.spacings.trained import SPACINGS
from multisched.table import tableau as table
from multisched.table.tableau import tabulate
from multisched.values import Value

KINDS = schedulers.named()
QUIRKS = {one.name: one for peer in PEERS.values() for one in peer.quirks if one.name != "told"}


# A model of several outputs has an exact answer of another kind, which the solver's own tests know.
EXACT = [solver for solver in SOLVERS if solver.outputs == 1]
# Of each class one; the others of it run fewer grids.
FIRST = set({type(solver): solver for solver in reversed(EXACT)}.values())
each_solver = pytest.mark.parametrize("solver", EXACT, ids=map(solver_name, EXACT))

GRIDS = {
    **{f"{space}-{spacing}": vp(spacing, space=space) for space in ("vp", "ve") for spacing in SPACINGS},
    **{f"{space}-{kind}": vp("linspace", kind, space=space) for space in ("vp", "ve") for kind in RATIOS},
    "vp-zero-snr": vp("trailing", terminal_alpha_bar=0.0),
    "ve-zero-snr": vp("trailing", space="ve", terminal_alpha_bar=2.0**-24),
    "vp-stride": strided(vp("linspace")),
    **{f"edm-{kind}": ve(kind=kind) for kind in RATIOS},
    **{f"edm-{timestep}": ve(timestep=timestep, sigma_data=None) for timestep in TIMESTEPS},
    "flow": flow(),
    "flow-shift": flow(3.0),
    "flow-double": doubled(3.0),
    "flow-limit": flow(limit=1 - 1e-4),
    "flow-terminal": flow(terminal=0.1, spare=True),
    "flow-inverted": flow(sigma_max=0.98, inverted=True),
    **{f"flow-{kind}": flow(sigma_max=0.99, kind=kind) for kind in RATIOS},
}
LINEAR_VP = ms.ScoreSdeVp().parts()[:2]
STEPS = (1, 2, 10, 50)


@pytest.fixture(scope="module")
def grids():
    """(name, number of steps, schedule, its grid), for every grid that there is."""
    made = []
    for (name, schedule), n in itertools.product(GRIDS.items(), STEPS):
        try:
            made.append((name, n, schedule[0], grid(schedule, n)))
        except ms.ScheduleError:
            assert (n, grid(schedule, n + 1).sigmas.size) == (1, 3), f"{name} has a grid of 2 steps, but none of {n}"
    return made


@pytest.mark.host
def test_every_solver_is_here():
    assert set(SOLVER_KINDS) == set(map(type, SOLVERS))


@pytest.mark.host
@each_solver
def test_solver_by_grid_by_prediction(solver, grids):
    """A model that knows x0 leads every combination there is to x0, or the combination is refused in a sentence."""
    recovered, refusals, wrong = 0, set(), []
    if solver not in FIRST:
        grids = [one for one in grids if one[1] in (2, 10)]
    for name, n, schedule, found in grids:
        made = []
        for prediction in map(ms.Prediction, PREDICTIONS):
            try:
                made.append((prediction, *tabulate(solver, found, prediction, schedule)))
            except ms.ScheduleError as error:
                refusals.add(str(error))
        if made and _defined(solver, found):
            off = _misses(solver, made)
            recovered += len(made)
            wrong += [
                f"{name}, {prediction.name}, n = {n}: off by {miss:.3g}"
                for (prediction, *_), miss in zip(made, off, strict=True)
                if not miss < 1e-5
            ]
    assert not wrong, f"{len(wrong)} of {recovered}, such as\n" + "\n".join(wrong[:10])
    assert all(sentence.endswith(".") and "\n" not in sentence for sentence in refusals), refusals
    defined = sum(_defined(solver, grid) for *_, grid in grids)
    assert recovered >= defined * len(PREDICTIONS) / 2, f"refused too often: {refusals}"


def _defined(solver, grid):
    """Whether an exact model has an exact answer. Where steps do not join, a solver that looks back has seen another
    path; churn after the model has been asked adds noise as if alpha were 1; the boundary condition
    of LCM keeps the sample itself at small timesteps; a corrector of the noise multiplies by 1 / alpha what rounding
    has left of x0, which at alpha = 1e-6 is ten digits."""
    if exempt("leads to x0, with an exact model", solver) or not (grid.chained or not solver.memory):
        return False
    if getattr(solver, "corrector", 0) and not getattr(solver, "data", True):
        return not 0 < grid.alphas[0] < 1e-5
    if getattr(solver, "start", "") == "runge_kutta":  # its four calls amplify rounding by so much each
        return not 0 < 1e3 * grid.alphas[0] < grid.alphas[1]
    if _late(solver):
        return bool(np.all(grid.alphas == 1))
    if hasattr(solver, "timestep_scaling"):
        return (solver.timestep_scaling * np.abs(grid.timesteps[:-1]).min()) ** 2 > 3e4 * max(1, grid.sigmas[0])
    return True


def _leaves_noise(solver):
    """Whether noise that was drawn is still there at sigma = 0: churned after the model was asked, or drawn anew by a
    corrector whose estimate of the noise is that of the predicted sample."""
    return _late(solver) or (solver.draws > 0 and not getattr(solver, "data", True))


def _late(solver):
    return type(solver).__name__.startswith("Late") and getattr(solver, "s_churn", 0) > 0


def _keeps_the_level(solver):
    """Whether what is drawn anew takes the place of as much noise, where x0 is known. Not near a boundary or at another
    temperature, and not if the noise is the larger variance's or comes on top, or is predicted as well."""
    options = {
        "s_noise": 1.0,
        "variance_type": "fixed_small",
        "algorithm_type": "sde-dpmsolver++",
        "data": True,
    }
    plain = all(getattr(solver, name, value) == value for name, value in options.items())
    named = ("Consistency", "RescaledSDE", "NoisySDE", "LateEuler", "LateHeun")
    return solver.draws > 0 and plain and type(solver).__name__ not in named


def _misses(solver, made):
    """How far off a run with an exact model is, for plans of the same rows: (plans,).

    Samples are written as sums of x0, the first noise and the noises drawn on the way. The x0 in a sample is that of
    its level, and all of the sample is if the solver is deterministic or the level is sigma = 0.
    """
    rows, folded = made[0][1], [tableau.fold() for _, _, tableau in made]
    weights = np.stack([tableau.weights for tableau in folded])
    own = type(solver).estimate is not Solver.estimate
    draws, registers = solver.draws, len(folded[0].registers)
    count = 2 + draws * len(rows)
    state = np.zeros((len(made), registers, count))
    if len(rows):
        state[:, 0, 0], state[:, 0, 1] = rows.alpha_start[0, 0], rows.sigma_start[0, 0]
    miss = np.zeros(len(made))
    deterministic, leaves_noise = solver.draws == 0, _leaves_noise(solver)
    x0 = np.eye(count)[0]
    for index in range(len(rows)):
        scale, alpha, sigma = (column[index, 0] for column in (rows.scale, rows.alpha, rows.sigma))
        outputs = []
        for k, (prediction, _, tableau) in enumerate(made):
            if own:
                p, q = tableau.x0_weights[index]
                outputs.append((x0 - p * state[k, 0]) / q if q else x0)
            else:
                noise = (state[k, 0] - alpha * x0) / sigma
                outputs.append(prediction.target(x0, noise, scale * alpha, scale * sigma))
        fresh = np.eye(count)[2 + draws * index : 2 + draws * (index + 1)]
        operands = np.concatenate(
            [state, np.stack(outputs)[:, None], np.broadcast_to(fresh, (len(made), draws, count))], axis=1
        )
        state = weights[:, index] @ operands
        last = index + 1 == len(rows)
        if last or (rows.grid.chained and rows.stage[index + 1, 0] == 0):
            wanted = rows.alpha_next[index, 0] * x0 + rows.sigma_next[index, 0] * np.eye(count)[1]
            exact = deterministic or (rows.sigma_next[index, 0] == 0 and not leaves_noise)
            off = np.abs(state[:, 0] - wanted)[:, : None if exact else 1]
            if _keeps_the_level(solver):
                level = np.linalg.norm(state[:, 0, 1:], axis=1, keepdims=True)
                off = np.append(off, np.abs(level - rows.sigma_next[index, 0]), axis=1)
            miss = np.maximum(miss, off.max(axis=1) / max(1.0, rows.sigma_next[index, 0]))
    return miss


ON_ARRAYS = {
    "vp": (vp("trailing"), "v_prediction"),
    "ve": (vp("trailing", "karras", space="ve"), "epsilon"),
    "edm": (ve(0.1, timestep="sigma"), "edm"),
    "flow": (flow(3.0, 0.99), "flow_prediction"),
}


@each_solver
def test_solver_recovers_x0_on_arrays(solver, make, backend, has_float64):
    """The same with `plan.step`, on one grid of each kind that it has an answer on."""
    dtype = "float64" if has_float64 else "float32"
    for path, (schedule, prediction) in ON_ARRAYS.items():
        recipe = ms.Scheduler(*schedule, prediction, solver)
        if not _defined(solver, grid(schedule, 7)):
            continue
        plan = recipe.plan(7)
        rng = np.random.default_rng(3)
        x0, *draws = (rng.standard_normal((2, 5)) for _ in range(2 + len(plan)))
        given = {name: make(np.zeros((2, 5)), dtype) for name in plan.inputs}
        state = plan.start(make(draws[-1], dtype), **given)
        for row in range(len(plan)):
            scale, alpha, sigma = (float(one[row, 0]) for one in (plan.rows.scale, plan.rows.alpha, plan.rows.sigma))
            x = backend.to_numpy(state.sample)
            output = recipe.prediction.target(x0, (x - alpha * x0) / sigma, scale * alpha, scale * sigma)
            if type(solver).estimate is not Solver.estimate:
                p, q = plan.tableau.x0_weights[row]
                output = (x0 - p * x) / q if q else x0
            z = (make(draws[row], dtype),) * plan.noise_draws if plan.needs_noise(row) else None
            state = plan.step(state, make(output, dtype), z)
        if not _leaves_noise(solver):
            off = np.abs(backend.to_numpy(state.sample) - x0).max()
            assert off < (1e-5 if has_float64 else 5e-3), f"{path}: off by {off:.3g}"


# Options that no plan holds, each with the reason.
OUTSIDE = {
    ("FlowMatchLCM", "scale_factors"): "anything but none is refused",
    ("EDMEuler", "num_train_timesteps"): "of the training run, for information",
    ("EDMDPMSolverMultistep", "num_train_timesteps"): "of the training run, for information",
    ("EDMDPMSolverMultistep", "euler_at_final"): "a last step is of order 1, to sigma = 0, or has no length",
    ("CosineDPMSolverMultistep", "euler_at_final"): "likewise",
    ("CosineDPMSolverMultistep", "num_train_timesteps"): "of the training run, for information",
}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)

RUNS = ({"n": 5}, {"n": 20}, {"n": 2}, {"n": 1}, {"sigmas": [0.9, 0.5, 0.1]}, {"timesteps": [900, 500, 100]})


@cache
def _plan(recipe, run):
    """The plan of one of the runs, or None where there is none."""
    try:
        mu = _mu(recipe) if getattr(recipe, "use_dynamic_shifting", False) else {}
        return recipe.plan(**RUNS[run], **mu)
    except ms.ScheduleError:
        return None


def _mu(recipe):
    """The dynamic shift of a run: of images of 1,000 tokens, where the recipe has a line for it."""
    return {"mu": recipe.mu(1000) if hasattr(recipe, "mu") else 0.7}


def _neighbours(recipe):
    """Recipes that differ in one option, those that switch something first."""
    for option in sorted(
        (one for one in fields(recipe) if one.name not in SETTINGS), key=lambda one: not isinstance(one.default, bool)
    ):
        for value in others(recipe, option.name):
            try:
                yield replace(recipe, **{option.name: value})
            except ms.ScheduleError:
                continue


@pytest.mark.host
@each_kind
def test_every_option_changes_the_plan(kind):
    """Some other value of it does, of the recipe as it is by default, as the zoo sets it, or with one other option."""
    settings = [kind(), *(recipe for recipe in RECIPES.values() if type(recipe) is kind)]
    looked_at = (
        option for option in fields(kind) if option.name not in SETTINGS and (kind.__name__, option.name) not in OUTSIDE
    )  # rounding: tests/peers
    idle = [option.name for option in looked_at if not _shows(settings, option)]
    assert not idle, f"{kind.__name__}: {idle}"


def _shows(settings, option):
    """Whether an option changes a plan: of these recipes, or of those beside them (the plan of 5 steps first)."""
    every = range(len(RUNS))
    for runs, near in ((every, False), ([0], True), (every[1:], True)):
        recipes = itertools.chain.from_iterable(map(_neighbours, settings)) if near else settings
        if any(_changes(recipe, option, runs) for recipe in recipes):
            return True
    return False


def _changes(recipe, option, runs):
    """Whether a value of the option changes a plan, or there is no other value to take."""
    accepted = 0
    for value in others(recipe, option.name):
        try:
            other = replace(recipe, **{option.name: value})
        except ms.ScheduleError:
            continue
        accepted += other != recipe
        for run in runs:
            one, two = _plan(recipe, run), _plan(other, run)
            if one and two and _differ(one, two):
                return True
    return not accepted and isinstance(getattr(recipe, option.name), str)


def _differ(one, two):
    """Whether two plans, or parts of them, are not the same; 0 is -0."""
    if isinstance(one, np.ndarray):
        return not np.array_equal(one, two)
    if not isinstance(one, Value) or type(one) is not type(two):
        return one != two
    return any(_differ(getattr(one, field.name), getattr(two, field.name)) for field in fields(one))


@pytest.mark.host
@each_kind
def test_a_recipe_is_shown_by_what_differs_from_its_defaults(kind):
    assert repr(kind()) == f"{kind.__name__}()"
    for recipe in (one for one in RECIPES.values() if type(one) is kind):
        shown = repr(recipe)
        assert all(f"{one.name}=" in shown for one in fields(kind) if getattr(recipe, one.name) != one.default)
        assert eval(shown, {**vars(ms.solvers), **QUIRKS, "inf": math.inf, kind.__name__: kind}) == recipe


@pytest.mark.host
@every_recipe
def test_a_plan_is_shown_in_a_line_and_as_a_table(recipe):
    plan = recipe.plan(4)
    assert repr(plan) == f"<{str(plan).splitlines()[0]}>" and "\n" not in repr(plan)
    table = ET.fromstring(plan._repr_html_())
    rows = [[cell.text for cell in row] for row in table.iter("tr")]
    assert len(rows) == len(plan) + 2 and all(len(row) == 5 for row in rows)
    assert [row[4] for row in rows[1:-1]] == [plan.folded.formula(k) for k in range(len(plan))]


@pytest.mark.host
@pytest.mark.parametrize("solver", SOLVERS, ids=map(solver_name, SOLVERS))
def test_every_update_is_linear(solver, monkeypatch):
    """As it is checked of solvers from elsewhere, on one grid of each kind that it can go along."""
    monkeypatch.setattr(table, "own", lambda solver: False)
    cases = [*ON_ARRAYS.values(), *((schedule, "score") for schedule, _ in ON_ARRAYS.values()), (LINEAR_VP, "epsilon")]
    refusals = []
    for (path, spacing), prediction in cases:
        try:
            tabulate(solver, grid((path, spacing), 7), Prediction(prediction), path)
        except ms.ScheduleError as error:
            refusals.append(str(error))
    assert len(refusals) < len(cases) and not any("is not linear" in one for one in refusals), refusals
