"""Samplers and spacings by their names in k-diffusion 0.1.1, against the installed ones in float64, on the same noise.

Its `log_likelihood` has no counterpart here."""

import importlib
import importlib.util
import math
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import multisched as ms
from multisched.spacings import Karras, Times, Trained, levels


def _samplers() -> Any:
    """`k_diffusion.sampling` as it is installed, without the rest of the package, which needs what samplers do not:
    torchvision, CLIP, kornia..."""
    spec = importlib.util.find_spec("k_diffusion")
    if spec is None:
        pytest.fail("k-diffusion is not installed: pip install --no-deps k-diffusion==0.1.1.post1", pytrace=False)
    package = ModuleType("k_diffusion")
    package.__path__ = list(spec.submodule_search_locations or ())
    sys.modules["k_diffusion"] = package
    # Its `utils` imports functions of torchvision, none of which a sampler calls.
    absent = [name for name in ("torchvision", "torchvision.transforms") if name not in sys.modules]
    sys.modules.update({name: ModuleType(name) for name in absent})
    sys.modules["torchvision.transforms"].functional = None  # type: ignore[attr-defined]
    try:
        return importlib.import_module("k_diffusion.sampling")
    finally:
        for name in absent:
            del sys.modules[name]


sampling = _samplers()

CHURN = ("s_churn", "s_tmin", "s_tmax", "s_noise")
DRAWN = ("eta", "s_noise")
# Every sampler there, with the options that are compared. `eta` of dpm_fast and dpm_adaptive is not known here.
OPTIONS: dict[str, tuple[str, ...]] = {
    "sample_euler": CHURN,
    "sample_euler_ancestral": DRAWN,
    "sample_heun": CHURN,
    "sample_dpm_2": CHURN,
    "sample_dpm_2_ancestral": DRAWN,
    "sample_lms": ("order",),
    "sample_dpm_fast": (),
    "sample_dpm_adaptive": ("rtol", "atol", "order", "h_init", "accept_safety"),
    "sample_dpmpp_2s_ancestral": DRAWN,
    "sample_dpmpp_sde": DRAWN,
    "sample_dpmpp_2m": (),
    "sample_dpmpp_2m_sde": (*DRAWN, "solver_type"),
    "sample_dpmpp_3m_sde": DRAWN,
}
PLANNED = [name for name in OPTIONS if name not in ("sample_dpm_fast", "sample_dpm_adaptive")]
# Options that have another name here.
RENAMED = {
    ("sample_lms", "order"): "most",
    ("sample_dpm_adaptive", "h_init"): "first",
    ("sample_dpm_adaptive", "accept_safety"): "safety",
}
# The name stands for ComfyUI's, whose last step leads to x0; k-diffusion's goes on with all the calls before.
SET = {"sample_lms": {"denoised_end": False}}


def _vp(n: int, low: float, high: float) -> np.ndarray:
    path = ms.paths.LinearVP(low, high)
    grid = (Times(1.0, 1e-3, spare=False) | ms.spacings.End()).grid(path, ms.spacings.Asked(n))
    return np.asarray(grid.sigmas / grid.alphas)


# Of each spacing the function there, and ours, both of (n, low, high) with a closing 0.
SPACINGS: dict[str, tuple[Any, Any]] = {
    "karras": (sampling.get_sigmas_karras, "karras"),
    "karras of rho 3": (lambda *ends: sampling.get_sigmas_karras(*ends, rho=3.0), Trained() | Karras(3.0)),
    "exponential": (sampling.get_sigmas_exponential, "exponential"),
    "polyexponential": (sampling.get_sigmas_polyexponential, "polyexponential"),
    "polyexponential of rho 1.7": (
        lambda *ends: sampling.get_sigmas_polyexponential(*ends, rho=1.7),
        lambda n, low, high: np.append(levels.polyexponential(high, low, n, 1.7), 0.0),
    ),
    "vp": (lambda n, low, high: sampling.get_sigmas_vp(n, high - low, low), _vp),
}
each_spacing = pytest.mark.parametrize("spacing", SPACINGS)


@pytest.fixture(autouse=True)
def _float64():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def like(low: float, high: float) -> ms.Recipe:
    """A model of x0 that is told sigma, on x0 + sigma * noise."""
    path = ms.paths.VarianceExploding(low, high, sigma_data=None, timestep="sigma")
    return ms.Scheduler(path, "karras", "sample", ms.solvers.Euler())


def denoiser(rng: np.random.Generator, size: int) -> Any:
    """The mean of x0 given x of a random mixture of three Gaussians; sigma is (samples,) or a number."""
    means, stds = torch.tensor(rng.normal(0, 1.5, (3, size))), torch.tensor(rng.uniform(0.2, 1.0, 3))
    weights = torch.tensor(rng.uniform(0.2, 1.0, 3))

    def model(x: Any, sigma: Any) -> Any:
        variance = stds**2 + torch.as_tensor(sigma).reshape(-1, 1) ** 2
        away = x[:, None, :] - means
        odds = weights.log() - size / 2 * variance.log() - (away**2).sum(2) / (2 * variance)
        each = means + (stds**2 / variance)[..., None] * away
        return (odds.softmax(1)[..., None] * each).sum(1)

    return model


def ends(rng: np.random.Generator, spacing: str) -> tuple[float, float]:
    """A low and a high noise level; of "vp" the lowest and the highest rate."""
    if spacing == "vp":
        return float(rng.uniform(0.05, 0.5)), float(rng.uniform(5, 25))
    return float(10 ** rng.uniform(-2.5, -1)), float(rng.uniform(2, 100))


def chosen(rng: np.random.Generator, name: str) -> dict[str, Any]:
    """Random options of a sampler."""
    ranges = {
        "s_churn": lambda: float(rng.choice((0.0, rng.uniform(0, 3), 50.0))),
        "s_tmin": lambda: float(rng.uniform(0, 0.3)),
        "s_tmax": lambda: float(rng.uniform(1, 90)),
        "s_noise": lambda: float(rng.uniform(0.9, 1.1)),
        "eta": lambda: float(rng.choice((0.0, 1.0, rng.uniform(0, 1)))),
        "order": lambda: int(rng.integers(2, 4) if name == "sample_dpm_adaptive" else rng.integers(1, 5)),
        "solver_type": lambda: str(rng.choice(("midpoint", "heun"))),
        "rtol": lambda: float(10 ** rng.uniform(-4, -1)),
        "atol": lambda: float(10 ** rng.uniform(-4, -2)),
        "h_init": lambda: float(rng.uniform(0.01, 0.2)),
        "accept_safety": lambda: float(rng.uniform(0.6, 0.9)),
    }
    return {key: ranges[key]() for key in OPTIONS[name] if rng.random() < 0.8}


def renamed(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options as they are named here."""
    return {**SET.get(name, {}), **{RENAMED.get((name, key), key): value for key, value in options.items()}}


def theirs(name: str, model: Any, x: Any, sigmas: Any, noise: list[Any], options: Any, monkeypatch: Any) -> Any:
    """The run of k-diffusion, whose noise is drawn in turn."""
    left = iter(noise)
    if "s_churn" in OPTIONS[name]:
        monkeypatch.setattr(sampling.torch, "randn_like", lambda x: next(left))
    elif "eta" in OPTIONS[name]:
        options = {**options, "noise_sampler": lambda *ends: next(left)}
    return getattr(sampling, name)(model, x, sigmas, disable=True, **options)


def ours(plan: ms.Plan, model: Any, x: Any, noise: list[Any], churned: bool, raised: float) -> Any:
    """The run of a plan: churn has a draw for each step, which is added in the step before; other noise is drawn where
    it counts."""
    left = iter(noise)
    state = plan.start(x)._replace(sample=x + raised * noise[0] if raised else x)
    for row in range(len(plan)):
        drawn = plan.folded.weights[row, 0, len(plan.folded.operands) - plan.noise_draws :]
        z: Any = None
        if plan.needs_noise(row) and churned:
            z = (noise[int(plan.rows.step[row, 0]) + 1],)
        elif plan.needs_noise(row):
            z = tuple(next(left) if weight else 0 * x for weight in drawn)
        output = model(plan.model_input(state), plan.timestep(state))
        state = plan.step(state, output, z)
    return state.sample


def test_every_sampler_there_is_compared():
    assert set(OPTIONS) == {name for name in vars(sampling) if name.startswith("sample_")}


@each_spacing
@pytest.mark.parametrize("n", [1, 2, 3, 10, 31])
def test_the_noise_levels(spacing, n):
    """To rounding, in float64."""
    for seed in range(5):
        low, high = ends(np.random.default_rng(seed), spacing)
        function, own = SPACINGS[spacing]
        wanted = function(n, low, high).numpy()
        found = own(n, low, high) if callable(own) else like(low, high).plan(n, spacing=own).sigmas
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=0)


@each_spacing
@pytest.mark.parametrize("name", PLANNED)
def test_a_run(name, spacing, monkeypatch):
    """From the same sample, with the same noise, by random options."""
    for seed in range(8):
        rng = np.random.default_rng([seed, len(name), len(spacing)])
        low, high = ends(rng, spacing)
        n, options = int(rng.integers(2, 20)), chosen(rng, name)
        sigmas = SPACINGS[spacing][0](n, low, high)
        model, noise = denoiser(rng, 5), [torch.tensor(rng.standard_normal((2, 5))) for _ in range(2 * n)]
        x = noise.pop() * sigmas[0]

        wanted = theirs(name, model, x, sigmas, noise, options, monkeypatch)
        recipe = ms.sampler(name, like=like(0.01, 80.0), **renamed(name, options))
        plan = recipe.plan(sigmas=sigmas.numpy())
        raised = math.sqrt(plan.sigmas[0] ** 2 - float(sigmas[0]) ** 2) * options.get("s_noise", 1.0)
        found = ours(plan, model, x, noise, "s_churn" in OPTIONS[name], raised)
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9, err_msg=f"{n} steps, {options}")


@pytest.mark.parametrize("calls", range(1, 17))
def test_a_run_of_dpm_fast(calls):
    """It places its calls itself, and ends at the lowest level."""
    rng = np.random.default_rng(calls)
    low, high = ends(rng, "karras")
    model, x = denoiser(rng, 5), torch.tensor(rng.standard_normal((2, 5))) * high
    wanted = sampling.sample_dpm_fast(model, x, low, high, calls, disable=True)
    plan = ms.sampler("sample_dpm_fast", like=like(low, high)).plan(calls)
    np.testing.assert_allclose(ours(plan, model, x, [], False, 0.0), wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(30))
def test_a_run_of_dpm_adaptive(seed):
    """One step size for the batch, without a limit: the same tries are made, and the same are accepted."""
    rng = np.random.default_rng(seed)
    low, high = ends(rng, "karras")
    name, model = "sample_dpm_adaptive", denoiser(rng, 5)
    options, z = chosen(rng, name), torch.tensor(rng.standard_normal((2, 5)))
    pid = rng.dirichlet((1, 8, 1)) if rng.random() < 0.5 else np.array([0.0, 1.0, 0.0])
    shares = dict(zip(("pcoeff", "icoeff", "dcoeff"), pid.tolist(), strict=True))
    x = z * math.hypot(high, 1.0)
    wanted, info = sampling.sample_dpm_adaptive(
        model, x, low, high, disable=True, return_info=True, **options, **shares
    )
    own = {**renamed(name, options), "pid": tuple(pid.tolist())}
    whole = {"longest": math.inf, "denoise": False, "together": True}
    found = ms.sample_adaptive(model, like(low, high), z, top=high, bottom=low, **own, **whole)
    np.testing.assert_allclose(found.sample, wanted, rtol=1e-9, atol=1e-9)
    assert (found.accepted[0], found.rejected[0], found.calls) == (info["n_accept"], info["n_reject"], info["nfe"])
