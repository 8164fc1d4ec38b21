"""Formulas whose numbers no comparison of whole runs is sharp enough to see, written out once more."""

import math

import numpy as np
import pytest
from made import flow, ve

import multisched as ms
from multisched.interop.summed import SummedDEIS
from multisched.solvers import DEIS, ERSDE, DPMMultistepSDE, limits
from multisched.solvers.rows import Level

pytestmark = pytest.mark.host


def _phi(k):
    return k * (np.exp(k**0.3) + 10)


def _phi_slope(k):
    return np.exp(k**0.3) * (1 + 0.3 * k**0.3) + 10


def _integral(values, at):
    return float(np.sum((values[1:] + values[:-1]) / 2 * np.diff(at)))


@pytest.mark.parametrize("rule", ["published", "interpolated"])
def test_the_weights_of_er_sde(rule):
    """Cui et al. 2023 (arXiv 2309.06169), proposition 4, the integrals as sums of 20,000 trapezoids."""
    plan = ms.Scheduler(*ve(), "edm", ERSDE(rule=rule)).plan(8)
    k, table = plan.sigmas, plan.tableau
    for row in range(2, 7):
        now, after, before, earlier = k[row], k[row + 1], k[row - 1], k[row - 2]
        r = _phi(after) / _phi(now)
        q = np.geomspace(after, now, 20_001)
        weight = _phi(after) * _phi_slope(q) / _phi(q) ** 2
        other = now if rule == "published" else before
        line, square = _integral(weight * (q - now), q), _integral(weight * (q - now) * (q - other), q)
        # In x0, and in the two before it: divided differences.
        near, far = 1 / (now - before), 1 / (before - earlier)
        curve = square / (now - earlier)
        wanted = {
            "sample": r,
            "x0": 1 - r + line * near + curve * near,
            "before": -line * near - curve * (near + far),
            "before_that": curve * far,
            "noise_0": math.sqrt(after**2 - (r * now) ** 2),
        }
        found = dict(zip(table.operands, table.weights[row, 0], strict=True))
        for name, value in wanted.items():
            assert found[name] == pytest.approx(value, rel=2e-6, abs=1e-9), (row, name)


def _linear_vp(t):
    """sigma / alpha of arXiv 2011.13456, eq. 33."""
    return np.sqrt(np.expm1(t**2 / 2 * (20.0 - 0.1) + t * 0.1))


def test_the_levels_that_a_path_of_a_time_is_trained_on():
    """1,000 even times, strictly between the ends; of the cosine path between alpha_bar = 0.9999 and 0.0001."""
    path = ms.paths.LinearVP()
    places = np.array([0.0, 400.0, 999.0])
    np.testing.assert_allclose(path.trained(places), _linear_vp((places + 1) / 1001), rtol=1e-12)
    np.testing.assert_allclose(path.ends, _linear_vp(np.array([1000, 1]) / 1001), rtol=1e-12)

    s = 0.02
    norm = math.cos(s / (1 + s) * math.pi / 2)
    ends = [math.acos(math.sqrt(bar) * norm) * 2 / math.pi * (1 + s) - s for bar in (0.9999, 0.0001)]
    t = ends[0] + (places + 1) / 1001 * (ends[1] - ends[0])
    bar = np.cos((t + s) / (1 + s) * math.pi / 2) ** 2 / norm**2
    np.testing.assert_allclose(ms.paths.Cosine(s=s).trained(places), np.sqrt((1 - bar) / bar), rtol=1e-9)


def test_the_ends_of_continuous_times():
    """Of pure noise and of the clean sample, which rounding must not overstep."""
    cosine = ms.paths.Cosine(num_train_timesteps=50)
    assert cosine.point(np.array([math.inf, 0.0])).timestep.tolist() == pytest.approx([50.0, 0.0], abs=1e-12)
    trig = ms.paths.TrigFlow()
    assert float(trig.levels(1.5708)[0]) == 0 and float(trig.levels(1.5702)[0]) == pytest.approx(5.963e-4, rel=1e-3)
    for path in (ms.paths.LinearVP(), ms.paths.Circle(), ms.paths.Discrete()):
        assert path.alpha_of(0.6) == pytest.approx(0.8, rel=1e-14)
    for path in (ms.paths.VarianceExploding(), ms.paths.Discrete(space="ve")):
        assert path.alpha_of(0.6) == 1.0


@pytest.mark.parametrize("path", [ms.paths.LinearVP(), ms.paths.Straight(), ms.paths.Discrete(), ms.paths.TrigFlow()])
def test_the_model_sees_the_sample_as_it_is(path):
    assert np.all(path.scale(np.array([0.2, 0.9]), np.array([0.8, 0.3])) == 1)


def test_straight_paths():
    path = ms.paths.Straight(40)
    assert path.ends == (1.0, 1 / 40) and path.trained(np.array([0, 39])).tolist() == [1 / 40, 1.0]
    far = ms.paths.straight.Exploding(40, inverted=True)
    np.testing.assert_allclose(np.stack(far.levels([10.0, 30.0])), [[1.0, 1.0], [0.75, 0.25]], rtol=1e-15)
    assert far.alpha_of(3.0) == 1.0 and far.point(np.array([3.0])).alpha.tolist() == [1.0]


@pytest.mark.parametrize("total", [1000, 20_000])
@pytest.mark.parametrize("stage", [0, 1, 2])
def test_the_times_of_a_stage(stage, total):
    """The share of all times that the noise removed in a stage has; it begins noisier than the one before has ended,
    by the correction of arXiv 2410.05954, appendix A (gamma = 1/3: by a factor of 2)."""
    gamma, shift = 1 / 3, 2.0
    path = ms.paths.Staged(total, stages=3, stage=stage, shift=shift, gamma=gamma)

    def level(number):
        even = (1 - 1 / total) * (total - number) / total
        return shift * even / (1 + (shift - 1) * even)

    ends = [level(int(share * total)) for share in path.stage_range]
    noisier = [end if not k else 2 * end / (2 * end + (1 - end)) for k, end in enumerate(ends[:3])]
    removed = np.cumsum([0.0, *(begin - end for begin, end in zip(noisier, ends[1:], strict=True))])
    first, last = (min(int(share * total), total - 1) for share in (removed / removed[-1])[stage : stage + 2])
    top, bottom = min(level(first) * total, 999.0), level(last) * total
    assert path.times(0.999) == pytest.approx(top, rel=1e-12)
    assert path.times(0.999 / total) == pytest.approx(top + (bottom - top) * (total - 1) / total, rel=1e-12)
    assert path.ends == (0.999, 0.999 / total)
    whole = ms.paths.Staged(total, stages=3, stage=stage, shift=shift, whole=True)
    assert whole.times(1.0) == pytest.approx(top, rel=1e-12)
    curved = ms.paths.staged.CurvedStage(total, stages=3, stage=stage, shift=shift)
    alpha, sigma = curved.levels(curved.times(0.5))
    assert (alpha, sigma) == pytest.approx((0.8**0.5, 0.2**0.5), rel=1e-12)
    assert curved.alpha_of(0.6) == pytest.approx(0.8, rel=1e-14) and path.alpha_of(0.6) == 0.4


def test_one_stage_is_the_whole_path():
    path = ms.paths.Staged(1000, stages=1, shift=2.0)
    assert path.times(np.array([1.0, 0.25, 0.0])).tolist() == [1000.0, 250.0, 0.0] and path.ends == (1.0, 1e-3)


def test_betas():
    betas = ms.paths.Betas(50, 0.001, 0.3, "scaled_linear", precision="float64").values
    np.testing.assert_allclose(betas, np.linspace(math.sqrt(0.001), math.sqrt(0.3), 50) ** 2, rtol=1e-12)
    laplace = ms.betas_for_alpha_bar(50, alpha_transform_type="laplace")
    t = np.arange(51) / 50
    snr = np.exp(-0.5 * np.where(t > 0.5, -1, 1) * np.log(1 - 2 * np.abs(0.5 - t) + 1e-6))
    bar = np.sqrt(snr / (1 + snr))
    np.testing.assert_allclose(laplace, np.minimum(1 - bar[1:] / bar[:-1], 0.999), rtol=1e-9)
    level = ms.DDIM(clip_sample=False).parts().path.alphas_cumprod
    shifted = ms.paths.Discrete(snr_shift_scale=3.0).alphas_cumprod
    np.testing.assert_allclose(shifted, level / (3 + (1 - 3) * level), rtol=1e-6)


@pytest.mark.parametrize("eta", [0.0, 0.6])
def test_dpm_multistep_sde_integrates_a_parabola(eta):
    """x_next = decay * x + (1 + eta) * alpha_next * integral of e^(-(1 + eta) (lam_next - lam)) * x0(lam), with the
    parabola through three x0, where x0'' is not halved; half of its curve has no part where it is."""
    whole, halved = (
        ms.Scheduler(*ve(), "edm", DPMMultistepSDE(eta=eta, halved=one)).plan(8).tableau.weights
        for one in (False, True)
    )
    plan = ms.Scheduler(*ve(), "edm", DPMMultistepSDE(eta=eta, halved=False)).plan(8)
    lam = -np.log(plan.sigmas[:-1])
    names = plan.tableau.operands
    for row in range(2, 7):
        fine = np.linspace(lam[row], lam[row + 1], 20_001)
        weight = (1 + eta) * np.exp(-(1 + eta) * (lam[row + 1] - fine))
        nodes = dict(zip(("x0", "before", "before_that"), lam[row - 2 : row + 1][::-1], strict=True))
        for name, node in nodes.items():
            others = [other for other in nodes.values() if other != node]
            lagrange = (fine - others[0]) * (fine - others[1]) / ((node - others[0]) * (node - others[1]))
            found = whole[row, 0, names.index(name)]
            assert found == pytest.approx(_integral(weight * lagrange, fine), rel=1e-7, abs=1e-9), (row, name)
    # Without the curve it is the step of two estimates; the halves lie in the middle between.
    assert np.abs(halved - whole)[2:7].max() > 1e-3


@pytest.mark.parametrize("far", [math.inf, 2.0])
def test_the_weights_of_angle_adams(far):
    """A line in s = log(k / (1 + k / far)) through two values, integrated over the angle."""
    solver = ms.solvers.AngleAdams(2, 0, 0.5, even=False, far=far)
    plan = ms.Scheduler(*ve(), "edm", solver).plan(6)
    for row in range(1, 5):
        before, k, after = plan.sigmas[row - 1 : row + 2]
        angle = np.linspace(math.atan(k / 0.5), math.atan(after / 0.5), 20_001)
        places = [np.log(one / (1 + one / far)) for one in (0.5 * np.tan(angle), before, k)]
        on_before = _integral((places[0] - places[2]) / (places[1] - places[2]), angle)
        wanted = -math.hypot(after, 0.5) * on_before
        register = plan.tableau.operands[1]
        assert plan.tableau.weights[row, 0, 1] == pytest.approx(wanted, rel=1e-6), (row, register)


def test_a_step_without_noise_to_draw():
    """From pure noise nothing is to be had of lam; a step to sigma = 0 draws nothing, and one that rises neither."""
    clean, pure, middle = Level(np.ones(1), np.zeros(1)), Level(np.zeros(1), np.ones(1)), Level(np.ones(1), np.ones(1))
    for start, end in ((pure, middle), (middle, clean)):
        assert limits.gap(start, end).tolist() == [0.0]
    assert limits.one_over(np.array([0.0, 4.0])).tolist() == [0.0, 0.25]
    path = ms.paths.Straight()
    point = path.point(np.array([0.2, 0.5, 2.0]))
    rising = ms.Scheduler(path, ms.spacings.Even(), "flow_prediction", ms.solvers.DDIM(1.0)).plan_over(
        ms.Grid(point.timestep, point.alpha, point.sigma)
    )
    assert np.all(rising.tableau.weights[:, 0, -1] == 0)


def test_spacings_of_distilled_models():
    assert ms.ConsistencyDecoder().plan(2).timesteps.tolist() == [1008, 512]
    assert ms.ConsistencyDecoder().plan(5).timesteps.tolist() == [1008, 816, 608, 416, 208]
    assert ms.LCM().plan(4).timesteps.tolist() == [999, 759, 499, 259]
    assert ms.LCM(strength=0.5).plan(2).timesteps.tolist() == [499, 259]
    found = ms.CMStochasticIterative().plan(4).sigmas
    ramp = (80 ** (1 / 7) + np.array([0, 10, 20, 30]) / 39 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    np.testing.assert_allclose(found, [*ramp, 0.002], rtol=1e-9)
    aims = ms.TCD(eta=0.1).plan(50).grid
    levels = ms.TCD().parts().path.levels(np.floor(0.9 * aims.timesteps[1:-1] + 1e-9))[0]
    np.testing.assert_allclose(aims.next_alphas[:-1], levels, rtol=1e-12)


def test_a_runge_kutta_start_looks_its_levels_up():
    """PNDM's paper: half way in whole timesteps; the model sees the sample of those levels scaled."""
    assert ms.PNDM().plan(10).timesteps[:9].tolist() == [900, 850, 850, 800, 800, 750, 750, 700, 700]
    solver = ms.solvers.Straightened(ms.solvers.Adams("even", "runge_kutta"))
    rows = ms.Scheduler(*ve(), "edm", solver).plan(6).rows
    np.testing.assert_allclose(rows.scale, (rows.sigma**2 + 0.25) ** -0.5, rtol=1e-9)


@pytest.mark.parametrize("method", ["res_2s", "res_3s", "seeds_2", "seeds_3"])
def test_the_first_call_of_an_exponential_step_leads_to_its_node(method):
    """Along its x0, as DDIM; a call of the paper's weights sums to 1 - e^-h of the way that it goes."""
    node = 1 / 3 if method == "seeds_3" else 1 / 2
    plan = ms.Scheduler(*ve(), "edm", ms.solvers.ExponentialRK(method)).plan(5)
    first = np.flatnonzero(plan.rows.stage[:, 0] == 0)[:4]
    for row in first:
        step = int(plan.rows.step[row, 0])
        sigma, after = plan.sigmas[step : step + 2]
        middle = sigma ** (1 - node) * after**node
        found = dict(zip(plan.tableau.operands, plan.tableau.weights[row, 0], strict=True))
        assert found["sample"] == pytest.approx(middle / sigma, rel=1e-12)
        assert found["x0"] == pytest.approx(1 - middle / sigma, rel=1e-12)


def test_spacings_of_one_recipe():
    ramp = np.array([0.0, 0.25, 0.5, 0.75])
    power = ms.RFD4Proteina(schedule_mode="power", tail_steps=0).plan(4).sigmas[:-1]
    np.testing.assert_allclose(power, 1 - (math.sqrt(0.001) * (1 - ramp) + ramp) ** 2, rtol=1e-12)
    log = ms.RFD4Proteina(tail_steps=0).plan(4).sigmas[:-1]
    b = 0.001 + 10**0.001
    np.testing.assert_allclose(log, 1 - (b - 10 ** (0.001 - 2.001 * ramp)) / (b - 0.01), rtol=1e-12)

    sine = ms.spacings.SineTimes()(ms.paths.Circle(), ms.spacings.Asked(4), None).times
    np.testing.assert_allclose(np.sin(math.pi / 2 * sine), np.sin(math.pi / 2 * (1 - ramp)) ** 2, rtol=1e-12)
    assert sine[0] == 1.0

    descent = ms.ScoreSdeVe(sigma_min=0.01, sigma_max=50.0, correct_steps=0, sampling_eps=0.2).plan(5)
    even = 0.01 * 5000 ** (np.arange(5) / 4)
    np.testing.assert_allclose(descent.timesteps, 0.01 * 5000 ** np.linspace(1, 0.2, 5), rtol=1e-9)
    np.testing.assert_allclose(descent.sigmas[:-1], even[[4, 3, 2, 1, 0]], rtol=1e-9)

    quadratic = ms.spacings.LinearQuadratic()(ms.paths.Straight(), ms.spacings.Asked(6), None).noise
    rate = 0.025 / 3
    wanted = [1, 1 - rate, 1 - 2 * rate, *(1 - rate * i - (1 - rate * 6) * (i - 3) ** 2 / 9 for i in (3, 4, 5))]
    np.testing.assert_allclose(quadratic, wanted, rtol=1e-12)


def test_what_a_model_of_known_data_sees():
    path = ms.paths.Discrete(sigma_data=0.7)
    assert path.scale(0.6, 0.8) == pytest.approx(1 / math.sqrt(0.64 + 0.36 * 0.49), rel=1e-14)


def test_names_of_spacings_without_a_shift():
    time = ms.Scheduler(ms.paths.LinearVP(), ms.spacings.Times() | ms.spacings.End(), "epsilon", ms.solvers.Euler())
    plan = time.plan(4, spacing="normal")
    np.testing.assert_allclose((plan.sigmas / plan.alphas)[[0, 3]], ms.paths.LinearVP().ends, rtol=1e-9)
    even = ms.Scheduler(
        ms.paths.Straight(), ms.spacings.Even() | ms.spacings.End(), "flow_prediction", ms.solvers.Euler()
    )
    assert even.plan(2, spacing="simple").sigmas.tolist() == [1.0, 0.5, 0.0]


def test_a_straightened_middle_is_told_by_its_own_time():
    solver = ms.solvers.Straightened(ms.solvers.Midpoint())
    rows = ms.Scheduler(*flow(3.0), "flow_prediction", solver).plan(5).rows
    np.testing.assert_allclose(rows.timestep, 1000 * rows.sigma, rtol=1e-12)


def test_the_lists_of_align_your_steps():
    """Every number of Sabour et al.'s lists; those of 32 levels by their sum and that of their squares."""
    for model, listed in {
        "sd1": [999, 850, 736, 645, 545, 455, 343, 233, 124, 24],
        "sdxl": [999, 845, 730, 587, 443, 310, 193, 116, 53, 13],
    }.items():
        assert ms.spacings.align_your_steps(model)["timesteps"].tolist() == listed
    svd = [700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034]
    np.testing.assert_allclose(ms.spacings.align_your_steps("svd")["sigmas"], svd, rtol=1e-12)
    middle = ms.spacings.align_your_steps("svd", 20)["sigmas"][1::2]  # half way in the logarithm
    np.testing.assert_allclose(middle, np.sqrt(np.array(svd) * [*svd[1:], 0.002]), rtol=1e-12)
    for name, total, squares in (
        ("align_your_steps_32", 85.07389245, 588.306486259),
        ("align_your_steps_32_sdxl", 76.49100735, 556.580289124),
    ):
        found = ms.spacings.published.levels_of(name, 32)
        assert np.sum(found) == pytest.approx(total, abs=1e-8), np.sum(found)
        assert np.sum(found**2) == pytest.approx(squares, rel=1e-9), np.sum(found**2)
        assert found[0] == 14.615 and found[-1] == 0.015


@pytest.mark.parametrize("rule", ["published", "interpolated"])
def test_the_sums_of_er_sde(rule):
    """Its code: sums over even k from the step's end, of 1 / phi and of (q - k) / phi, after integration by parts."""
    terms = 7
    plan = ms.Scheduler(*ve(), "edm", ERSDE(rule=rule, terms=terms)).plan(8)
    k, table = plan.sigmas, plan.tableau
    for row in range(2, 7):
        now, after, before, earlier = k[row], k[row + 1], k[row - 1], k[row - 2]
        q = after + np.arange(terms) * (now - after) / terms
        step, other = (now - after) / terms, now if rule == "published" else before
        line = (after - now) + _phi(after) * np.sum(step / _phi(q))
        square = (after - now) * (after - other) + _phi(after) * np.sum(step * (2 * q - now - other) / _phi(q))
        curve = square / ((now - earlier) * (before - earlier))
        found = dict(zip(table.operands, table.weights[row, 0], strict=True))
        assert found["before_that"] == pytest.approx(curve, rel=1e-9)
        wanted = -line / (now - before) - curve * (before - earlier) / (now - before) - curve
        assert found["before"] == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("terms", [0, 20_000])
def test_the_weights_of_deis_in_time(terms):
    """Zhang and Chen 2022 (arXiv 2204.13902), eq. 14: integrals over t of k' times Lagrange's polynomials, as sums of
    20,000 terms, whose own error is there with `terms` alone."""
    low, rate = 0.3, 15.0
    solver = SummedDEIS(4, rate, low, terms) if terms else DEIS(4, rate, low)
    plan = ms.Scheduler(*ve(0.05, 20.0), "epsilon", solver).plan(9)
    k, table = plan.sigmas, plan.tableau
    t = (np.sqrt(low**2 + 2 * rate * np.log1p(k**2)) - low) / rate
    for row in range(1, 8):
        order = min(row + 1, 4)
        at = np.linspace(t[row], t[row + 1], 20_000)
        rise = (
            (rate * at + low) * np.exp(rate * at**2 / 2 + low * at) / 2 / np.sqrt(np.expm1(rate * at**2 / 2 + low * at))
        )
        sums = []
        for j in range(order):
            others = [t[row - m] for m in range(order) if m != j]
            curve = rise * np.prod([(at - one) / (t[row - j] - one) for one in others], axis=0)
            even = np.sum(curve) * (t[row + 1] - t[row]) / at.size
            sums.append(even if terms else np.trapezoid(curve, at))
        found = dict(zip(table.operands, table.weights[row, 0], strict=True))
        for name, value in zip(("before", "before_that", "first_of_four"), sums[1:], strict=False):
            assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-9), (row, name)
        # The noise is (x - x0) / k.
        assert -found["x0"] * k[row] == pytest.approx(sums[0], rel=1e-6)


def test_what_sums_add_to_the_integrals_of_deis():
    """In proportion to 1 / terms; the test above sees sums of many terms, which are hardly off."""
    low, rate, terms = 0.3, 15.0, 20_000
    made = [
        ms.Scheduler(*ve(0.05, 20.0), "epsilon", one).plan(9)
        for one in (DEIS(2, rate, low), SummedDEIS(2, rate, low, terms))
    ]
    k, place = made[0].sigmas, made[0].tableau.operands.index("before")
    t = (np.sqrt(low**2 + 2 * rate * np.log1p(k**2)) - low) / rate
    for row in range(1, 8):
        exact, summed = (plan.tableau.weights[row, 0, place] for plan in made)
        at = np.linspace(t[row], t[row + 1], terms)
        square = np.expm1(rate * at**2 / 2 + low * at)
        curve = (rate * at + low) * (square + 1) / 2 / np.sqrt(square) * (at - t[row]) / (t[row - 1] - t[row])
        even = np.sum(curve) * (t[row + 1] - t[row]) / terms
        assert summed - exact == pytest.approx(even - exact, rel=5e-4)
