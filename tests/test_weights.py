"""Weights of losses by the signal-to-noise ratio, and conversion between prediction types."""

import math

import numpy as np
import pytest
from zoo import arrays

import multisched as ms
from multisched.predictions import Prediction
from multisched.training import (
    EDM,
    P2,
    ByDensity,
    Constant,
    CosMap,
    Debiased,
    LogitNormal,
    LogNormal,
    MinSNR,
    Mode,
    Sigmoid,
    SoftMinSNR,
    TruncatedSNR,
    convert,
    log_snr_pdf,
)

WEIGHTS = {
    Constant("epsilon"): lambda snr: snr,
    Constant("flow_prediction"): lambda snr: (1 + np.sqrt(snr)) ** 2,
    TruncatedSNR(): lambda snr: np.maximum(snr, 1),
    MinSNR(): lambda snr: np.minimum(snr, 5),
    SoftMinSNR(): lambda snr: 4 * snr / (snr + 4),
    Sigmoid(-1.0): lambda snr: snr / (1 + np.exp(np.log(snr) + 1)),
    P2(gamma=0.5): lambda snr: snr / np.sqrt(1 + snr),
    EDM(): lambda snr: snr + 4,
    Debiased(): lambda snr: np.sqrt(snr),
}
"""Each as the weight of x0's squared error, as a function of the SNR."""

NAMES = ("epsilon", "sample", "v_prediction", "flow_prediction", "flow_to_data", "edm", "score")
RECIPES = (ms.DDIM(clip_sample=False), ms.FlowMatchEuler(), ms.EDMEuler(), ms.Euler(), ms.SCM())
each_recipe = pytest.mark.parametrize("recipe", RECIPES, ids=lambda one: type(one).__name__)
each_weight = pytest.mark.parametrize("weight", WEIGHTS, ids=str)


def _times(recipe):
    return np.sort(recipe.plan(6).timesteps)[[1, 2, 4]]


@each_recipe
@each_weight
def test_one_weight_is_one_loss_in_every_prediction(weight, recipe, make, backend):
    """An error of x0 with x fixed, weighted in each type, is the same loss."""
    times = _times(recipe)
    alpha, sigma = recipe.levels(times)
    loss = WEIGHTS[weight](recipe.snr(times)) * 0.01**2
    scale = recipe.parts().path.scale(alpha, sigma)
    for name in NAMES:
        a, b = Prediction(name, recipe.parts().prediction.sigma_data).weights(scale * alpha, scale * sigma)
        error = a * 0.01 - b * alpha / sigma * 0.01
        np.testing.assert_allclose(weight(recipe, times, name) * error**2, loss, rtol=1e-9)
        found = weight(recipe, make(times), name)
        assert backend.name == "numpy" or ms.backends.of(found) is backend
        np.testing.assert_allclose(backend.to_numpy(found), weight(recipe, times, name), rtol=2e-3)


@pytest.mark.host
def test_the_papers_formulas():
    recipe, times = RECIPES[0], np.array([1.0, 300.0, 990.0])
    snr = recipe.snr(times)
    np.testing.assert_allclose(MinSNR()(recipe, times), np.minimum(snr, 5) / snr, rtol=1e-12)
    np.testing.assert_allclose(MinSNR()(recipe, times, "v_prediction"), np.minimum(snr, 5) / (snr + 1), rtol=1e-12)
    np.testing.assert_allclose(P2()(recipe, times), 1 / (1 + snr), rtol=1e-12)
    np.testing.assert_allclose(Debiased()(recipe, times), 1 / np.sqrt(snr), rtol=1e-12)
    np.testing.assert_allclose(Sigmoid(0.7)(recipe, times), 1 / (1 + np.exp(np.log(snr) - 0.7)), rtol=1e-12)
    np.testing.assert_allclose(Sigmoid(math.log(4.0))(recipe, times), SoftMinSNR()(recipe, times), rtol=1e-12)
    edm = ms.EDMEuler()
    np.testing.assert_allclose(EDM()(edm, _times(edm)), 1.0, rtol=1e-12)
    sigma = edm.levels(_times(edm))[1]
    wanted = (sigma**2 + 0.25) / (0.5 * sigma) ** 2
    np.testing.assert_allclose(EDM()(edm, _times(edm), "sample"), wanted, rtol=1e-12)
    flow, t = ms.FlowMatchEuler(), np.array([0.1, 0.5, 0.9])
    for density in (CosMap(), LogitNormal(), Mode()):
        np.testing.assert_allclose(ByDensity(density)(flow, 1000 * t), density.pdf(t), rtol=1e-9)
        noise = ByDensity(density)(flow, 1000 * t, "epsilon")
        np.testing.assert_allclose(noise, t / (1 - t) * density.pdf(t) / (t * (1 - t)), rtol=1e-9)


@pytest.mark.filterwarnings("error")
def test_limits_at_the_ends(make, backend):
    """At zero terminal SNR and at the clean sample."""
    recipe = ms.DDIM(rescale_betas_zero_snr=True, prediction_type="v_prediction", clip_sample=False)
    limits = {
        MinSNR(): {"v_prediction": (0, 0), "epsilon": (1, 0), "sample": (0, 5), "flow_prediction": (0, 0)},
        SoftMinSNR(): {"v_prediction": (0, 0), "epsilon": (1, 0), "sample": (0, 4)},
        P2(): {"v_prediction": (0, 0), "epsilon": (1, 0), "sample": (0, 1)},
        TruncatedSNR(): {"v_prediction": (1, 1)},
        EDM(): {"v_prediction": (4, 1)},
        Debiased(): {"v_prediction": (0, 0)},
        Constant("epsilon"): {"v_prediction": (0, 1), "epsilon": (1, 1)},
        Constant(): {name: (1, 1) for name in NAMES if name != "score"},
        ByDensity(): {"flow_prediction": (2 / math.pi, 2 / math.pi)},
    }
    for weight, wanted in limits.items():
        for name, values in wanted.items():
            np.testing.assert_allclose(weight(recipe, [999, -1], name), values, rtol=1e-6, err_msg=f"{weight} {name}")
            found = backend.to_numpy(weight(recipe, make([999.0, -1.0]), name))
            np.testing.assert_allclose(found, values, rtol=1e-6, err_msg=f"{weight} {name}")
    for weight, name in ((Debiased(), "epsilon"), (TruncatedSNR(), "epsilon"), (Constant("v_prediction"), "epsilon")):
        with pytest.raises(ms.ScheduleError, match="has no finite weight of 'epsilon' at timesteps"):
            weight(recipe, [10, 999], name)


@pytest.mark.host
def test_integrals_over_log_snr():
    """The mean of 1 / log_snr_pdf over draws is the length of the interval of log SNR that they cover."""
    flow, edm = ms.FlowMatchEuler(), ms.EDMEuler()
    for density, recipe in ((LogitNormal(0.4, 1.5), flow), (LogNormal(-0.5, 2.0), edm), (LogNormal(-0.5, 2.0), flow)):
        t = density.timesteps(recipe, (20000,), rng=0, spread="stratified", dtype="float64")
        lam = np.log(recipe.snr(t))
        inside = np.abs(lam) < 1.0
        found = np.mean(np.where(inside, 1 / log_snr_pdf(density, recipe, t), 0.0))
        assert found == pytest.approx(2.0, rel=1e-2)
    with pytest.raises(ms.ScheduleError, match="log_snr_pdf takes densities of times on the straight path alone"):
        log_snr_pdf(LogitNormal(), ms.DDIM(), 5)


@each_recipe
def test_convert_is_the_target_of_the_other_prediction(recipe, make, backend):
    x0, noise = arrays(2)
    times = _times(recipe)[: len(x0)]
    sample = recipe.add_noise(make(x0), make(noise), times)
    for one in NAMES:
        for other in NAMES:
            first, second = (_as(recipe, name) for name in (one, other))
            output, wanted = (r.target(make(x0), make(noise), times) for r in (first, second))
            for given in (times, make(times)):
                found = backend.to_numpy(convert(output, sample, given, first, to=other))
                limit = 3e-5 * max(1.0, float(np.abs(backend.to_numpy(wanted)).max())) * _size(recipe, times)
                np.testing.assert_allclose(found, backend.to_numpy(wanted), atol=limit, rtol=1e-4)
            named = backend.to_numpy(convert(output, sample, times, recipe, other, given=one))
            np.testing.assert_allclose(named, backend.to_numpy(convert(output, sample, times, first, to=other)))


def _size(recipe, times):
    snr = recipe.snr(times)
    return float(np.sqrt(np.maximum(snr, 1 / snr).max()))


def _as(recipe, name):
    path, spacing, own, *_ = recipe.parts()
    return ms.Scheduler(path, spacing, Prediction(name, own.sigma_data), ms.solvers.Euler())


def test_what_convert_refuses(make):
    x, short = make(arrays(1)[0]), make(arrays(1)[0][:1])
    recipe = ms.DDIM(rescale_betas_zero_snr=True, prediction_type="v_prediction")
    with pytest.raises(ms.ScheduleError, match="what is asked for is not finite at timesteps"):
        convert(x, x, 999, recipe, to="sample", given="epsilon")
    with pytest.raises(ms.ScheduleError, match="the model's output has shape"):
        convert(short, x, 10, recipe, to="sample")
    with pytest.raises(ms.ScheduleError, match="prediction_type must be one of"):
        convert(x, x, 10, recipe, to="velocity")
    with pytest.raises(ms.ScheduleError, match="recipe must be a recipe"):
        convert(x, x, 10, "ddim", to="sample")
    with pytest.raises(ms.ScheduleError, match="recipe must be a recipe"):
        MinSNR()("ddim", 10)
    with pytest.raises(ms.ScheduleError, match="density must be a density of a time"):
        ByDensity(LogNormal())
    with pytest.raises(ms.ScheduleError, match="bias must be in"):
        Sigmoid(1e3)
