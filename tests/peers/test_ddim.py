"""DDIM against diffusers' DDIM and DDPM: tables by impulse response, clipping on data, and the noise schedules."""

from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.schedulers import scheduling_ddim, scheduling_ddpm
from impulse import GRID_TOLERANCE, TOLERANCE, Tally, drawn, elementwise, our_rows, their_rows
from made import quirked

import multisched as ms
from multisched.spacings.trained import timesteps as spaced

SPACINGS = ("leading", "trailing", "linspace")
PREDICTIONS = ("epsilon", "sample", "v_prediction")
TOTALS = (7, 24, 100, 250, 1000)
STEPS = (1, 2, 3, 4, 7, 20, 50, 61, 103)
# diffusers' own rounding: in float32, 1 - alpha_bar_t / alpha_bar_next, of which the variance is made, loses most
# digits of a small beta, and so do the differences of square roots that zero terminal SNR is made of.
ROUNDED_TOLERANCE = 1e-3


def test_the_peer_is_the_version_that_was_studied():
    assert diffusers.__version__ == "0.42.1"


def draw(rng: np.random.Generator) -> tuple[dict[str, Any], int]:
    """Options that both libraries have, with clipping off, and a number of steps."""
    total = int(rng.choice(TOTALS))
    start = float(10 ** rng.uniform(-4.5, -2.5))
    options: dict[str, Any] = {
        "num_train_timesteps": total,
        "beta_start": start,
        "beta_end": float(rng.uniform(0.01, 0.05)),
        "beta_schedule": str(rng.choice(("linear", "scaled_linear", "squaredcos_cap_v2"))),
        "clip_sample": False,
        "steps_offset": int(rng.choice((0, 0, 1, 3))),
        "prediction_type": str(rng.choice(PREDICTIONS)),
        "timestep_spacing": str(rng.choice(SPACINGS)),
        "rescale_betas_zero_snr": bool(total >= 100 and rng.random() < 0.4),
    }
    if rng.random() < 0.2:
        options["trained_betas"] = tuple(np.sort(rng.uniform(1e-4, 0.03, total)).tolist())
    return options, int(rng.choice([n for n in STEPS if n <= total] + [total] * (total < 100)))


def widen(scheduler: Any, recipe: ms.DDIM) -> None:
    """Let diffusers compute its coefficients in float64 from the alpha_bar that it has.

    Zero terminal SNR is computed by way of float32 square roots, which torch rounds as the processor likes; there the
    two tables of alpha_bar differ by an ulp or two that the rows blow up, and diffusers is given ours.
    """
    theirs = scheduler.alphas_cumprod.double()
    if recipe.rescale_betas_zero_snr:
        theirs = torch.from_numpy(recipe.parts().path.alphas_cumprod.copy())
    scheduler.alphas_cumprod = theirs
    if hasattr(scheduler, "final_alpha_cumprod"):
        scheduler.final_alpha_cumprod = torch.ones((), dtype=torch.float64) if recipe.set_alpha_to_one else theirs[0]
    else:
        scheduler.one = scheduler.one.double()


def no_answer(scheduler: Any, n: int, *rows: np.ndarray) -> str | None:
    """Why there is nothing to compare with, if so."""
    if len(scheduler.timesteps) != n:
        return "n + 1 timesteps"
    return None if all(np.all(np.isfinite(one)) for one in rows) else "not a number"


def test_every_coefficient_of_ddim():
    rng, tally = np.random.default_rng(1), Tally()
    for _ in range(520):
        options, n = draw(rng)
        options["set_alpha_to_one"] = bool(rng.integers(2))
        step_options = {
            "eta": float(rng.choice((0.0, 0.0, 0.4, 1.0))),
            "use_clipped_model_output": bool(rng.integers(2)),
        }
        recipe = quirked(ms.DDIM(**options, **step_options), "stride")
        compare_ddim(tally, options, step_options, recipe, n)
    tally.verify(300, "n + 1 timesteps", "not a number", "offset out of range")


def compare_ddim(tally: Tally, options: dict[str, Any], step_options: dict[str, Any], recipe: ms.DDIM, n: int) -> None:
    scheduler = diffusers.DDIMScheduler(**options)
    scheduler.set_timesteps(n)

    def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
        return scheduler.step(output, timestep, sample, variance_noise=noise, **step_options).prev_sample

    config = (options, step_options, n)
    try:
        stock = their_rows(scheduler, step_once)
        levels = recipe.parts().path.alphas_cumprod, scheduler.alphas_cumprod
        widen(scheduler, recipe)
        theirs = their_rows(scheduler, step_once)
    except IndexError:
        tally.set_apart("offset out of range", config, lambda: recipe.plan(n))
        return
    if reason := no_answer(scheduler, n, stock, theirs):
        tally.set_apart(reason, config, lambda: recipe.plan(n))
        return
    levels_tolerance = TOLERANCE if recipe.rescale_betas_zero_snr else GRID_TOLERANCE
    stock_tolerance = ROUNDED_TOLERANCE if recipe.eta or recipe.rescale_betas_zero_snr else TOLERANCE
    plan = recipe.plan(n)
    rows = our_rows(plan)
    pairs = {
        "timesteps": (*elementwise(plan.timesteps, scheduler.timesteps), 0.0),
        "alpha_bar": (*levels, levels_tolerance),
        "stock rows": (rows, stock, stock_tolerance),
        "rows": (rows, theirs, TOLERANCE),
    }
    tally.compare(config, pairs)


def test_eta_1_is_ddpm_coefficient_by_coefficient():
    """DDPM takes the next timestep from the list, as our default does, and ends at alpha = 1."""
    rng, tally = np.random.default_rng(2), Tally()
    with drawn(scheduling_ddpm) as give:
        for _ in range(240):
            options, n = draw(rng)
            compare_ddpm(tally, options, n, give)
    tally.verify(150, "n + 1 timesteps", "not a number", "offset out of range")


def compare_ddpm(tally: Tally, options: dict[str, Any], n: int, give: Any) -> None:
    scheduler = diffusers.DDPMScheduler(**options, variance_type="fixed_small")
    scheduler.set_timesteps(n)
    recipe = ms.DDIM(**options, eta=1.0)

    def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
        give(noise)
        return scheduler.step(output, timestep, sample).prev_sample

    widen(scheduler, recipe)
    try:
        theirs = their_rows(scheduler, step_once)
    except IndexError:
        tally.set_apart("offset out of range", (options, n), lambda: recipe.plan(n))
        return
    if reason := no_answer(scheduler, n, theirs):
        tally.set_apart(reason, (options, n), lambda: recipe.plan(n))
        return
    plan = recipe.plan(n)
    timesteps = (*elementwise(plan.timesteps, scheduler.timesteps), 0.0)
    tally.compare((options, n), {"timesteps": timesteps, "rows": (our_rows(plan), theirs, TOLERANCE)})


def draw_cut(rng: np.random.Generator, thresholding: bool) -> dict[str, Any]:
    """Options of one of the two ways to cut x0."""
    if not thresholding:
        return {"clip_sample": True, "clip_sample_range": float(rng.uniform(0.5, 4.0))}
    ratio, most = float(rng.choice((0.5, 0.9, 0.995, 1.0))), float(rng.uniform(1.0, 6.0))
    return {"thresholding": True, "dynamic_thresholding_ratio": ratio, "sample_max_value": most}


@pytest.mark.parametrize("thresholding", [False, True], ids=["clip", "threshold"])
def test_cutting_x0_on_data(thresholding):
    rng, tally, partly_cut = np.random.default_rng(3), Tally(), 0
    for _ in range(180):
        options, n = draw(rng)
        n = min(n, 7)
        options |= {"steps_offset": 0, "rescale_betas_zero_snr": False, **draw_cut(rng, thresholding)}
        step_options = {"eta": float(rng.choice((0.0, 0.5))), "use_clipped_model_output": bool(rng.integers(2))}
        partly_cut += compare_cut(tally, rng, options, step_options, n)
    tally.verify(100)
    assert partly_cut > 40


def compare_cut(
    tally: Tally, rng: np.random.Generator, options: dict[str, Any], step_options: dict[str, Any], n: int
) -> bool:
    """Compare every step on random data; whether it held both x0 that the cut leaves alone and x0 that it changes."""
    scheduler = diffusers.DDIMScheduler(**options)
    scheduler.set_timesteps(n)
    recipe = quirked(ms.DDIM(**options, **step_options), "stride")
    widen(scheduler, recipe)
    plan = recipe.plan(n)
    ours, theirs, uncut = [], [], []
    for row, timestep in enumerate(scheduler.timesteps):
        x, output, noise = (rng.standard_normal((2, 3, 4, 4), dtype=np.float32) for _ in range(3))
        given = torch.from_numpy(output), timestep, torch.from_numpy(x)
        after = scheduler.step(*given, variance_noise=torch.from_numpy(noise), **step_options)
        state = plan.start(x)._replace(index=row)
        ours += [plan.step(state, output, noise).sample.ravel(), plan.denoised(state, output).ravel()]
        theirs += [after.prev_sample.numpy().ravel(), after.pred_original_sample.numpy().ravel()]
        p, q = plan.tableau.x0_weights[row]
        uncut.append(np.abs(p * x + q * output - theirs[-1].reshape(x.shape)) < 1e-4)
    tally.compare((options, step_options, n), {"steps and x0": (np.stack(ours), np.stack(theirs), TOLERANCE)})
    return bool(0 < np.mean(uncut) < 1)


@pytest.mark.parametrize("total", [7, 24, 100, 1000])
@pytest.mark.parametrize("spacing", SPACINGS)
def test_timesteps_for_every_number_of_steps(spacing, total):
    """Equal wherever diffusers has n of them, save that np.arange's rounding decides its ties."""
    scheduler = diffusers.DDIMScheduler(num_train_timesteps=total, timestep_spacing=spacing)
    compared = 0
    for n in range(1, total + 1):
        scheduler.set_timesteps(n)
        ours, theirs = spaced(spacing, n, total), scheduler.timesteps.numpy()
        if len(theirs) != n:
            assert (spacing, theirs[-1]) == ("trailing", -1)
            continue
        # total - i * total / n is a half where 2 i total / n is an odd whole number.
        twice, rest = np.divmod(2 * np.arange(n) * total, n)
        tie = (rest == 0) & (twice % 2 == 1) & (spacing == "trailing")
        assert np.all(np.abs(ours - theirs) <= tie), n
        compared += 1
    assert compared >= 0.89 * total


@pytest.mark.parametrize("method", ["add_noise", "get_velocity"])
def test_the_forward_process(method):
    """With a timestep per sample, on the host and on the samples' own library."""
    rng, tally = np.random.default_rng(4), Tally()
    for _ in range(100):
        options, _ = draw(rng)
        recipe, scheduler = ms.DDIM(**options), diffusers.DDIMScheduler(**options)
        x, noise = (torch.from_numpy(rng.standard_normal((4, 5), dtype=np.float32)) for _ in range(2))
        t = torch.from_numpy(rng.integers(0, options["num_train_timesteps"], 4))
        theirs = getattr(scheduler, method)(x, noise, t).numpy()
        ours = getattr(recipe, method)
        host, device = ours(x.numpy(), noise.numpy(), t.numpy()), ours(x, noise, t).numpy()
        tally.compare(options, {"host": (host, theirs, TOLERANCE), "device": (device, theirs, TOLERANCE)})
    tally.verify(100)


@pytest.mark.parametrize("transform", ["cosine", "exp", "laplace"])
def test_betas_for_alpha_bar(transform):
    for total in (1, 2, 10, 333, 1000):
        for most in (0.999, 0.5):
            ours = ms.betas_for_alpha_bar(total, most, transform)
            theirs = scheduling_ddim.betas_for_alpha_bar(total, most, transform).double().numpy()
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("dtype", "totals", "tolerance"),
    [("float64", (2, 7, 100, 1000), 1e-13), ("float32", (250, 1000), 1e-5)],
    ids=["float64", "float32"],
)
def test_rescale_zero_terminal_snr(dtype, totals, tolerance):
    rng = np.random.default_rng(5)
    for total in totals:
        for betas in (np.linspace(1e-4, 0.02, total), np.sort(rng.uniform(1e-4, 0.03, total))):
            given = betas.astype(dtype)
            theirs = scheduling_ddim.rescale_zero_terminal_snr(torch.from_numpy(given.copy())).numpy()
            ours = ms.rescale_zero_terminal_snr(given)
            assert ours.dtype == given.dtype
            assert ours[-1] == 1
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
