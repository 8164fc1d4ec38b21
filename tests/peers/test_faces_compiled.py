"""Our classes in place of diffusers' schedulers, inside torch.compile."""

import inspect
import itertools
import warnings

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from faces import NAMES, OPTIONS, SET, STEPS, called, far, model  # noqa: E402

from multisched.interop import diffusers as ours  # noqa: E402
from multisched.interop.diffusers import drawing, manners  # noqa: E402

LONG = {**STEPS, "CMStochasticIterativeScheduler": 40, "RePaintScheduler": 10}  # at most, or without jumps


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # diffusers gives NumPy tensors
@pytest.mark.parametrize("name", NAMES)
def test_fifty_compiled_steps_are_one_graph_and_so_is_the_next_run(name, monkeypatch):
    from torch._dynamo.testing import CompileCounter

    kind = getattr(ours, name)
    takes = inspect.signature(kind.step).parameters
    torch._dynamo.reset()
    counter = CompileCounter()
    # Inside torch.compile all noise is torch's own.
    monkeypatch.setattr(drawing, "_brownian", lambda *given: torch.randn_like(given[3]))
    monkeypatch.setattr(manners, "TWICE", ())  # no second draw that is thrown away
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of diffusers
        eager, traced = (kind(**OPTIONS.get(name, {})) for _ in range(2))
    compiled = torch.compile(traced.step, fullgraph=True, backend=counter)
    for _ in range(2):
        for scheduler in (eager, traced):
            scheduler.set_timesteps(LONG.get(name, 50), **SET.get(name, {}))
        x = y = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        more = {"original_image": torch.ones_like(x), "mask": torch.zeros_like(x)} if "mask" in takes else {}
        back, old, now = None, None, None
        for number, t in enumerate(called(name, eager)):
            t = t.expand(1) if "Wuerstchen" in name else t
            said, too = ((old, t, back), (now, t, back)) if "timestep_back" in takes else ((t,), (t,))
            torch.manual_seed(number)
            x, *old = eager.step(model(x, 0, name), *said, x, return_dict=False, **more)
            torch.manual_seed(number)
            y, *now = compiled(model(y, 0, name), *too, y, return_dict=False, **more)
            old, now, back = old[0] if old else None, now[0] if now else None, t
        assert counter.frame_count == 1
        assert far(y, x) < 1e-5


def calls(name, scheduler):
    """Fifty calls of the step of a class that keeps diffusers' own: its arguments beside the output and the sample."""
    scheduler.set_timesteps(50)
    if name == "KarrasVeScheduler":
        levels = [scheduler.schedule[t] for t in scheduler.timesteps] + [torch.tensor(0.0)]
        return [*itertools.pairwise(levels)]
    return [(t * torch.ones(1),) for t in scheduler.timesteps]


@pytest.mark.filterwarnings("ignore")  # diffusers' classes of old
@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("KarrasVeScheduler", "step"),
        ("ScoreSdeVeScheduler", "step_pred"),
        ("ScoreSdeVeScheduler", "step_correct"),
        ("ScoreSdeVpScheduler", "step_pred"),
    ],
)
def test_fifty_compiled_steps_that_are_diffusers_own_are_one_graph(name, method):
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()
    scheduler, counter, ends = getattr(ours, name)(), CompileCounter(), []
    step = getattr(scheduler, method)
    for taken in (step, torch.compile(step, fullgraph=True, backend=counter)):
        x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        for number, more in enumerate(calls(name, scheduler)):
            torch.manual_seed(number)
            first, output = (x,) if "Vp" in name else (), model(x, 0)
            x = taken(output, *first, *(() if method == "step_correct" else more), *(() if first else (x,)))
            x = x[0] if isinstance(x, tuple) else x.prev_sample
            x = x / x.std()
        ends.append(x)
    assert counter.frame_count == 1
    assert far(ends[1], ends[0]) < 1e-5


def test_a_step_that_reads_its_timestep_cannot_be_one_graph():
    scheduler = ours.RFD4ProteinaScheduler._theirs(schedule_mode="power", noise_mode="tan", tsr_k=1.0, tsr_sigma=1.0)
    scheduler.set_timesteps(60)
    x, mask = torch.zeros(1, 5, 8), torch.ones(1, 5, dtype=torch.bool)
    with pytest.raises(torch._dynamo.exc.Unsupported, match="Data dependent"):
        torch.compile(scheduler.step, fullgraph=True, backend="eager")(x, scheduler.timesteps[0], x, mask)


@pytest.mark.parametrize("name", ["FlowMatchEulerDiscreteScheduler", "DPMSolverMultistepScheduler"])
def test_runs_of_other_lengths_and_sizes_share_a_few_graphs(name):
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()
    counter, scheduler, seen = CompileCounter(), getattr(ours, name)(), []
    compiled = torch.compile(scheduler.step, fullgraph=True, backend=counter)
    for n, size in [(4, 8), (6, 8), (9, 8), (6, 12), (5, 16), (4, 8), (7, 20)]:
        scheduler.set_timesteps(n)
        whole = getattr(ours, name)()
        whole.set_timesteps(n)
        x = y = torch.randn(1, 4, size, 8, generator=torch.Generator().manual_seed(0))
        for t in whole.timesteps:
            x, y = whole.step(model(x, 0), t, x)[0], compiled(model(y, 0), t, y)[0]
        assert far(y, x) < 1e-5
        seen.append(counter.frame_count)
    assert seen[2] == 2 and seen[-1] <= 5


@pytest.mark.parametrize(
    "name",
    [
        "FlowMatchEulerDiscreteScheduler",
        "UniPCMultistepScheduler",
        "DPMSolverMultistepScheduler",
        "HeunDiscreteScheduler",
    ],
)
def test_a_compiled_run_begins_where_it_is_told_to(name):
    torch._dynamo.reset()
    kind = getattr(ours, name)
    first, ends = 4, []
    for compiled in (False, True):
        scheduler = kind()
        scheduler.set_timesteps(10)
        scheduler.set_begin_index(first)
        step = torch.compile(scheduler.step, fullgraph=True, backend="eager") if compiled else scheduler.step
        x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        for t in scheduler.timesteps[first:]:
            x = step(model(x, 0), t, x, return_dict=False)[0]
        ends.append(x)
    assert far(ends[1], ends[0]) < 1e-6


def test_a_learned_variance_is_cut_off_compiled_too():
    x, ends = torch.linspace(-1, 1, 3 * 16).reshape(1, 3, 4, 4), []
    for compiled in (False, True):
        scheduler = ours.DPMSolverMultistepScheduler(variance_type="learned_range")
        scheduler.set_timesteps(4)
        step = torch.compile(scheduler.step, fullgraph=True, backend="eager") if compiled else scheduler.step
        y = x
        for t in scheduler.timesteps:
            y = step(torch.cat([model(y, 0), 0 * y], 1), t, y, return_dict=False)[0]
        ends.append(y)
    assert far(ends[1], ends[0]) < 1e-6
