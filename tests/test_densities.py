"""Densities of training times: their laws, the same draws on every backend, and what is drawn where."""

import math
import statistics

import numpy as np
import pytest

import multisched as ms
from multisched.noise import gaussian
from multisched.training import Beta, CosMap, LogitNormal, LogNormal, Mode, Shifted, Uniform

DENSITIES = [
    Uniform(),
    Uniform(0.1, 0.9),
    LogitNormal(0.3, 0.7),
    Mode(),
    Mode(-1.0),
    CosMap(),
    Beta(low=0.001),
    Beta(1.0, 2.5),
    Beta(2.0, 3.0),
    LogNormal(),
    Shifted(LogitNormal(), 3.0),
    LogNormal().shifted(0.5),
]
each_density = pytest.mark.parametrize("density", DENSITIES, ids=str)
on_device = [one for one in DENSITIES if one != Beta(2.0, 3.0)]


@pytest.mark.host
@each_density
def test_the_pdf_is_the_slope_of_the_quantile(density):
    u, h = np.linspace(0.01, 0.99, 99), 1e-6
    assert np.all(np.diff(density.quantile(u)) > 0)
    slope = (density.quantile(u + h) - density.quantile(u - h)) / (2 * h)
    np.testing.assert_allclose(density.pdf(density.quantile(u)) * slope, 1, rtol=1e-6)
    assert density.pdf(-0.1) == 0 and (density.of == "ratio" or density.pdf(1.1) == 0)


@pytest.mark.host
@each_density
def test_draws_follow_the_law(density):
    """Kolmogorov and Smirnov: the shares below the quantiles; and evenly spread, no two samples in one part."""
    drawn = density.draw((4000,), rng=1, dtype="float64")
    share = np.sort(np.searchsorted(np.sort(density.quantile((np.arange(20000) + 0.5) / 20000)), drawn)) / 20000
    assert np.max(np.abs(share - (np.arange(4000) + 0.5) / 4000)) < 1.63 / math.sqrt(4000)  # 1 % level
    for spread in ("low_discrepancy", "stratified"):
        even = np.sort(density.draw((50,), rng=2, spread=spread, dtype="float64"))
        edges = density.quantile(np.arange(1, 50) / 50)
        parts = np.searchsorted(edges, even)
        assert np.all(np.diff(parts) == 1) if spread == "stratified" else np.max(np.abs(np.diff(parts) - 1)) <= 1


@each_density
def test_draws_are_the_same_on_every_backend(density, backend, device):
    for shape in ((5,), (3, 4), (2, 3, 2)):
        for spread in ("independent", "low_discrepancy", "stratified"):
            found = density.draw(shape, rng=7, step=3, spread=spread, backend=backend, device=device)
            assert ms.backends.of(found) is backend and str(found.dtype).endswith("float32")
            np.testing.assert_array_equal(backend.to_numpy(found), density.draw(shape, rng=7, step=3, spread=spread))


@pytest.mark.parametrize("density", on_device, ids=str)
def test_on_the_device_they_are_the_hosts(density, make, backend, device):
    wanted = density.draw((6, 2), rng=5, step=9)
    found = density.draw((6, 2), rng=ms.noise.PhiloxNoise(5), step=9, backend=backend, device=device)
    np.testing.assert_allclose(backend.to_numpy(found), wanted, rtol=3e-5)
    u = np.linspace(0.001, 0.999, 101)
    for name in ("quantile", "pdf"):
        values = u if name == "quantile" else density.quantile(u)
        found = backend.to_numpy(getattr(density, name)(make(values)))
        np.testing.assert_allclose(found, getattr(density, name)(values), rtol=1e-2, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("recipe", [ms.FlowMatchEuler(), ms.DDIM(), ms.SCM(), ms.EDMEuler()], ids=str)
def test_a_step_that_is_traced(recipe, backend, device):
    """Inside jit the number of the training step may be an array."""
    source, density = ms.noise.PhiloxNoise(5), LogitNormal()

    def drawn(step):
        return density.timesteps(recipe, (4,), rng=source, step=step, backend=backend, device=device)

    step = backend.asarray(np.asarray(9), "int32", device)
    wanted = density.timesteps(recipe, (4,), rng=5, step=9)
    np.testing.assert_allclose(backend.to_numpy(drawn(step)), wanted, rtol=1e-4)
    if backend.name in ("jax", "mlx") or (backend.name == "torch" and type(recipe) is ms.FlowMatchEuler):  # it is slow
        np.testing.assert_allclose(backend.to_numpy(backend.compile(drawn)(step)), wanted, rtol=1e-4)
    with pytest.raises(ms.ScheduleError, match="HostNoise is drawn on the host, where a traced step is not known"):
        density.draw((4,), rng=5, step=step, backend=backend)


@pytest.mark.host
def test_the_published_formulas():
    t, u = np.linspace(0.05, 0.95, 7), np.linspace(0.05, 0.95, 7)
    logit = np.log(t / (1 - t))
    wanted = np.exp(-((logit - 0.5) ** 2) / (2 * 0.49)) / (0.7 * math.sqrt(2 * math.pi) * t * (1 - t))
    np.testing.assert_allclose(LogitNormal(0.5, 0.7).pdf(t), wanted, rtol=1e-12)
    np.testing.assert_allclose(Mode(1.2).quantile(u), u - 1.2 * (np.cos(math.pi / 2 * (1 - u)) ** 2 - u), rtol=1e-12)
    np.testing.assert_allclose(CosMap().quantile(u), 1 - 1 / (np.tan(math.pi / 2 * u) + 1), rtol=1e-12)
    np.testing.assert_allclose(CosMap().pdf(t), 2 / (math.pi - 2 * math.pi * t + 2 * math.pi * t**2), rtol=1e-12)
    np.testing.assert_allclose(CosMap().pdf([0.0, 1.0]), 2 / math.pi, rtol=1e-6)
    edm = [math.exp(-1.2 + 1.2 * statistics.NormalDist().inv_cdf(one)) for one in u]
    np.testing.assert_allclose(LogNormal().quantile(u), edm, rtol=1e-12)
    np.testing.assert_allclose(1 - Beta(low=0.001).quantile(u), 0.999 * (1 - u ** (1 / 1.5)), rtol=1e-12)
    np.testing.assert_allclose(ms.training.resolution_shift(4096, 1024), 2.0)


@pytest.mark.host
def test_laws_that_are_others_in_disguise():
    """On the straight path the logit-normal law is EDM's, and a shift of both is one of the mean."""
    recipe = ms.FlowMatchEuler()
    named = {"shape": (100,), "rng": 3, "dtype": "float64"}
    one = LogitNormal(0.2, 0.9).timesteps(recipe, **named)
    np.testing.assert_allclose(LogNormal(0.2, 0.9).timesteps(recipe, **named), one, rtol=1e-12)
    for law in (LogitNormal, LogNormal):
        moved = law(0.2 + math.log(3.0), 0.9).timesteps(recipe, **named)
        np.testing.assert_allclose(law(0.2, 0.9).shifted(3.0).timesteps(recipe, **named), moved, rtol=1e-12)
        by_link = law(0.2, 0.9).shifted(ms.spacings.Shift(3.0))
        assert by_link == law(0.2, 0.9).shifted(3.0) and by_link.shifted(2.0).of == law.of
    np.testing.assert_allclose(Beta(1.0, 1.0).draw(**named), Uniform().draw(**named), rtol=1e-12)
    np.testing.assert_allclose(Mode(0.0).draw(**named), Uniform().draw(**named), rtol=1e-12)


@pytest.mark.host
def test_places_on_paths():
    u = np.array([1e-6, 0.25, 0.9999999])
    np.testing.assert_array_equal(Uniform().place(ms.DDIM(), u), [0, 250, 999])
    np.testing.assert_array_equal(Uniform().place(ms.Euler(), u), [0, 250, 999])
    np.testing.assert_allclose(Uniform().place(ms.FlowMatchEuler(), u), 1000 * u)
    np.testing.assert_allclose(Uniform().place(ms.FlowMatchEuler(invert_sigmas=True), u), 1000 * (1 - u))
    edm = ms.EDMEuler()
    assert edm.levels(Uniform().place(edm, 0.5))[1] == pytest.approx(math.sqrt(0.002 * 80))
    for recipe in (edm, ms.SCM(), ms.FlowMatchEuler(), ms.DDIM(), ms.IPNDM()):
        alpha, sigma = recipe.levels(LogNormal().place(recipe, np.array([0.1, 1.0, 5.0])))
        np.testing.assert_allclose(sigma / alpha, [0.1, 1.0, 5.0], rtol=1e-3)
    for name in ms.schedulers.named():
        recipe = getattr(ms, name)()
        assert np.all(np.isfinite(recipe.levels(Uniform().place(recipe, u[1:]))[1])), name


@pytest.mark.host
def test_a_sample_has_its_own_times():
    """In every batch, apart from those of other steps and seeds, and from the noise of its address."""
    density = Uniform()
    whole = density.draw((6, 3), rng=4)
    np.testing.assert_array_equal(density.draw((2, 3), rng=4), whole[:2])
    np.testing.assert_array_equal(density.draw((2, 3), rng=ms.noise.Select(4, (3, 5))), whole[[3, 5]])
    np.testing.assert_array_equal(density.draw((2, 3), rng=ms.noise.OffsetNoise(4)), whole[:2])
    assert not np.any(whole == density.draw((6, 3), rng=4, step=1)) and not np.any(whole == density.draw((6, 3), rng=5))
    u = [ms.noise.uniform((20000,), rng=4, step=1), *ms.noise.draw(ms.noise.source(4), 1, (0, 1), np.zeros(20000))]
    assert np.max(np.abs(np.corrcoef(u) - np.eye(3))) < 0.03


def test_a_frameworks_own_state_drives_them(backend):
    if backend.name not in ("torch", "jax", "mlx"):
        return
    state = {
        "torch": lambda: __import__("torch").Generator().manual_seed(0),
        "jax": lambda: __import__("jax").random.key(0),
        "mlx": lambda: __import__("mlx.core").core.random.key(0),
    }[backend.name]()
    u = backend.to_numpy(ms.noise.uniform((4000,), rng=state, backend=backend))
    assert u.min() > 0 and u.max() < 1
    assert np.max(np.abs(np.sort(u) - (np.arange(4000) + 0.5) / 4000)) < 1.63 / math.sqrt(4000)


def test_the_normal_law(make, backend):
    normal = statistics.NormalDist()
    p = np.array([1e-12, 2.0**-24, 1e-3, 0.07, 0.08, 0.5, 0.6, 0.93, 1 - 2.0**-24])
    wanted = np.array([normal.inv_cdf(one) for one in p])
    np.testing.assert_allclose(gaussian.quantile(np, p), wanted, rtol=1e-14)
    np.testing.assert_allclose(backend.to_numpy(gaussian.quantile(backend.xp, make(p))), wanted, rtol=2e-5, atol=1e-6)
    z = np.linspace(-6, 6, 41)
    wanted = np.array([normal.cdf(one) for one in z])
    np.testing.assert_allclose(gaussian.cdf(np, z), wanted, rtol=2e-8)
    np.testing.assert_allclose(backend.to_numpy(gaussian.cdf(backend.xp, make(z))), wanted, rtol=1e-5, atol=1e-12)


@pytest.mark.host
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Uniform(0.5, 0.5), "low and high must be in order"),
        (lambda: LogitNormal(std=0.0), "std must be a positive number"),
        (lambda: LogNormal(mean=math.nan), "mean must be a finite number"),
        (lambda: Mode(1.8), r"scale must be in \[-1, 2 / \(pi - 2\)\]"),
        (lambda: Beta(a=-1.0), "a must be a positive number"),
        (lambda: Beta(a=99.0), "a and b must be at most 30"),
        (lambda: Uniform().shifted(0.0), "factor must be a positive number"),
        (lambda: Shifted("uniform", 2.0), "density must be a density of ms.training"),
        (lambda: Uniform().draw((2,), spread="even"), "spread must be one of"),
        (lambda: Uniform().draw(2), "the shape of noise"),
        (lambda: Uniform().quantile([0.5, 1.0]), r"u must lie in \(0, 1\)"),
        (lambda: Uniform().quantile("half"), "u must be numbers"),
        (lambda: Uniform().timesteps("ddim", (2,)), "recipe must be a recipe"),
        (lambda: ms.training.resolution_shift(0, 3), "tokens must be a positive number"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ms.ScheduleError, match=message):
        call()


def test_what_the_device_cannot_draw_is_refused(make, backend):
    if backend.name == "numpy":
        return
    with pytest.raises(ms.ScheduleError, match="is drawn on the host, since neither is 1"):
        Beta(2.0, 3.0).quantile(make([0.5]))
