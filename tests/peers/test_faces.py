"""Our classes in place of diffusers' schedulers: the same runs, draws, attributes and files."""

import copy
import inspect
import pickle
import warnings

import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

from faces import LOOPS, NAMES, OPTIONS, SET, STEPS, far, model, run, theirs_of  # noqa: E402

import multisched as ms  # noqa: E402
from multisched.interop import diffusers as ours  # noqa: E402
from multisched.interop.diffusers.manners import BROWNIAN, UNLIKE  # noqa: E402


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("seeded", [True, False], ids=["generator", "global"])
def test_a_run_is_that_of_diffusers_and_leaves_the_generator_where_it_does(name, seeded):
    theirs, mine = (run(kind, name, seeded=seeded) for kind in (theirs_of(name), getattr(ours, name)))
    assert far(mine[0], theirs[0]) < 1e-5
    assert torch.equal(mine[1], theirs[1])


# diffusers begins a stage of Helios at its first row, whatever it is told.
MIDDLE = [(name, False) for name in LOOPS if name not in (*STEPS, *SET)]
MIDDLE += [(name, True) for name, _ in MIDDLE if hasattr(theirs_of(name), "set_begin_index")]


@pytest.mark.parametrize(("name", "begin"), MIDDLE)
def test_a_run_begun_in_mid_schedule_is_that_of_diffusers(name, begin):
    theirs, mine = (run(kind, name, 4, begin=begin)[0] for kind in (theirs_of(name), getattr(ours, name)))
    assert far(mine, theirs) < 1e-5


@pytest.mark.parametrize("name", LOOPS)
def test_callers_may_change_the_sample_between_calls(name):
    theirs, mine = (run(kind, name, edit=True)[0] for kind in (theirs_of(name), getattr(ours, name)))
    assert far(mine, theirs) < 1e-5


# The others need more than three arguments of a step, other shapes, or a number of steps.
OWN = ["ConsistencyDecoder", "CogVideoXDPM", "DDPMWuerstchen", "Helios", "Piflow", "RePaint", "SCM"]
MIXED = [name for name in NAMES if name not in UNLIKE and name.removesuffix("Scheduler") not in OWN]


@pytest.mark.filterwarnings("ignore")  # of times outside a Brownian tree
@pytest.mark.parametrize("pair", [(torch.float32, torch.bfloat16), (torch.bfloat16, torch.float32)], ids=str)
@pytest.mark.parametrize("name", MIXED)
def test_samples_and_outputs_of_two_dtypes_give_diffusers_dtypes(name, pair):
    def dtypes(kind):
        scheduler = kind()
        scheduler.set_timesteps(6)
        sample, output = (torch.ones(1, 4, 4, 4, dtype=one) for one in pair)
        getattr(scheduler, "scale_model_input", lambda x, t: x)(sample, scheduler.timesteps[0])
        found = scheduler.step(output, scheduler.timesteps[0], sample, return_dict=False)
        return [one.dtype for one in found if isinstance(one, torch.Tensor)]

    assert dtypes(getattr(ours, name)) == dtypes(theirs_of(name))


@pytest.mark.parametrize("name", LOOPS)
def test_bfloat16_stays_bfloat16(name):
    theirs, mine = (run(kind, name, dtype=torch.bfloat16)[0] for kind in (theirs_of(name), getattr(ours, name)))
    exact = run(theirs_of(name), name)[0]
    assert mine.dtype == torch.bfloat16
    # Other sums are rounded to bfloat16 at other places: ours are as near to those in float32 as theirs, or nearer.
    if name not in BROWNIAN and "CogVideoXDPM" not in name and theirs.dtype == torch.bfloat16:
        assert far(mine.float(), exact) < 3 * far(theirs.float(), exact) + 0.02


@pytest.mark.parametrize("name", NAMES)
def test_a_class_is_diffusers_own_in_all_but_its_steps(name):
    kind, theirs = getattr(ours, name), theirs_of(name)
    assert issubclass(kind, theirs) and kind.__name__ == name
    assert kind.step is not theirs.step
    for method in ("__init__", "set_timesteps", "step"):
        assert inspect.signature(getattr(kind, method)) == inspect.signature(getattr(theirs, method))
    assert pickle.loads(pickle.dumps(kind)) is kind


@pytest.mark.parametrize("name", [name for name in LOOPS if name not in BROWNIAN])  # whose tree cannot be copied
def test_schedulers_are_copied_with_their_run(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of diffusers
        scheduler = getattr(ours, name)(**OPTIONS.get(name, {}))
        scheduler.set_timesteps(STEPS.get(name, 6), **SET.get(name, {}))
    copies = [copy.deepcopy(scheduler)]
    if name != "SASolverScheduler":  # diffusers' own holds a lambda
        copies.append(pickle.loads(pickle.dumps(scheduler)))
    for one in copies:
        assert type(one) is type(scheduler)
        assert torch.equal(one.timesteps, scheduler.timesteps)
        assert one.config == scheduler.config


STEPPED = {
    "DDIMScheduler": {"eta": 0.7},
    "EulerDiscreteScheduler": {"s_churn": 2.0, "s_noise": 1.01},
    "FlowMatchHeunDiscreteScheduler": {"s_churn": 2.0},
    "LMSDiscreteScheduler": {"order": 2},
    "TCDScheduler": {"eta": 0.0},
}


@pytest.mark.parametrize("name", STEPPED)
def test_options_of_a_step_are_diffusers(name):
    found = []
    for kind in (theirs_of(name), getattr(ours, name)):
        scheduler, generator = kind(), torch.Generator().manual_seed(1)
        scheduler.set_timesteps(8)
        x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        more = {"generator": generator} if "generator" in inspect.signature(kind.step).parameters else {}
        for t in scheduler.timesteps:
            seen = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
            x = scheduler.step(model(seen, t), t, x, return_dict=False, **more, **STEPPED[name])[0]
        found.append((x, torch.rand(1, generator=generator)))
    assert far(found[1][0], found[0][0]) < 1e-5
    assert torch.equal(found[1][1], found[0][1])


def test_what_makes_no_plan_is_left_to_diffusers_with_a_warning():
    scheduler = ours.DPMSolverMultistepScheduler()
    with pytest.warns(UserWarning, match="takes diffusers' own steps, since it has no plan: 1000 steps"):
        scheduler.set_timesteps(1000)
    x = torch.ones(1, 2)
    theirs = diffusers.DPMSolverMultistepScheduler()
    theirs.set_timesteps(1000)
    t = theirs.timesteps[0]
    assert torch.equal(scheduler.step(x, t, x)[0], theirs.step(x, t, x)[0])
    scheduler.set_timesteps(10)
    assert scheduler.recipe == ms.from_diffusers(theirs, strict=False)


def test_history_can_be_read_and_written():
    """As pipelines do that cut the frames of a video between two steps."""
    results = []
    for kind in (diffusers.UniPCMultistepScheduler, ours.UniPCMultistepScheduler):
        scheduler = kind()
        scheduler.set_timesteps(8)
        x = torch.linspace(-1, 1, 24).reshape(1, 2, 6, 2)
        for number, t in enumerate(scheduler.timesteps):
            x = scheduler.step(model(x, t), t, x, return_dict=False)[0]
            if number == 4:
                x = x[:, :, :3]
                scheduler.model_outputs = [one if one is None else one[:, :, :3] for one in scheduler.model_outputs]
                scheduler.last_sample = scheduler.last_sample[:, :, :3]
        results.append(x)
    assert far(results[1], results[0]) < 1e-5


def test_integers_in_place_of_timesteps_are_refused_where_diffusers_refuses_them():
    scheduler = ours.FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(4)
    with pytest.raises(ValueError, match="looks like the number of the step"):
        scheduler.step(torch.ones(1, 2), 0, torch.ones(1, 2))


def test_an_option_given_by_its_place_counts():
    found = []
    for kind in (theirs_of("LMSDiscreteScheduler"), ours.LMSDiscreteScheduler):
        scheduler = kind()
        scheduler.set_timesteps(6)
        x = torch.linspace(-1, 1, 8).reshape(2, 4)
        for t in scheduler.timesteps:
            x = scheduler.step(model(scheduler.scale_model_input(x, t), t), t, x, 2)[0]
        found.append(x)
    assert far(found[1], found[0]) < 1e-5


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_flow_maps_step_to_any_timestep(shift):
    x, found = torch.linspace(-1, 1, 8).reshape(2, 4), []
    for kind in (theirs_of("FlowMapEulerDiscreteScheduler"), ours.FlowMapEulerDiscreteScheduler):
        scheduler = kind(shift=shift)
        scheduler.set_timesteps(6)
        t, r = scheduler.timesteps[1], scheduler.timesteps[4]
        pairs = [(t, r), (t, 0.0), (t, 333.0), (700.0, 250.5), (t, t), (torch.tensor([900.0, 800.0]), torch.zeros(2))]
        found.append([scheduler.step(model(x, 1), a, x, r_timestep=b).prev_sample for a, b in pairs])
        assert scheduler.step_index == len(pairs) + 1
    for mine, theirs in zip(found[1], found[0], strict=True):
        assert far(mine, theirs) < 1e-5


def test_unclip_is_told_where_its_steps_end():
    found = []
    for kind in (theirs_of("UnCLIPScheduler"), ours.UnCLIPScheduler):
        scheduler, generator = kind(), torch.Generator().manual_seed(1)
        scheduler.set_timesteps(8)
        x, ends = torch.linspace(-1, 1, 8).reshape(2, 4), [*scheduler.timesteps[1:], None]
        for t, end in zip(scheduler.timesteps, ends, strict=True):
            x = scheduler.step(model(x, t), t, x, prev_timestep=end, generator=generator).prev_sample
        found.append(x)
    assert far(found[1], found[0]) < 5e-5  # diffusers divides float32 products of alphas
    assert not scheduler._run.alone  # all are rows of the schedule, or of that to the timestep below


def test_jumps_back_are_the_callers():
    """As the pipeline of RePaint makes them."""
    found = []
    for kind in (theirs_of("RePaintScheduler"), ours.RePaintScheduler):
        scheduler, generator = kind(), torch.Generator().manual_seed(1)
        scheduler.set_timesteps(12, 4, 3)
        x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        mask, last = torch.ones_like(x).tril(), scheduler.timesteps[0] + 1
        for t in scheduler.timesteps:
            if t < last:
                x = scheduler.step(model(x, t), t, x, 0.5 * torch.ones_like(x), mask, generator).prev_sample
            else:
                x = scheduler.undo_step(x, last, generator)
            last = t
        found.append(x)
    assert far(found[1], found[0]) < 1e-5


def test_a_timestep_beside_the_schedule_has_a_step_of_its_own():
    x = torch.linspace(-1, 1, 8).reshape(1, 8)
    theirs, mine = diffusers.DDIMScheduler(), ours.DDIMScheduler()
    for scheduler in (theirs, mine):
        scheduler.set_timesteps(10)
    assert far(mine.step(x, 455, x)[0], theirs.step(x, 455, x)[0]) < 1e-5


@pytest.mark.parametrize("name", ["DDPMScheduler", "DDIMScheduler"])
def test_the_loop_of_diffusion_policies(name):
    """LeRobot's and diffusion_policy's `conditional_sample`: int64 timesteps, one per trajectory, and a generator."""
    found = []
    for kind in (theirs_of(name), getattr(ours, name)):
        scheduler = kind(num_train_timesteps=100, beta_schedule="squaredcos_cap_v2", clip_sample=True)
        scheduler.set_timesteps(10 if name == "DDIMScheduler" else 100)
        generator = torch.Generator().manual_seed(0)
        trajectory = torch.randn(2, 16, 7, generator=generator)
        for t in scheduler.timesteps:
            times = torch.full(trajectory.shape[:1], t, dtype=torch.long)
            output = torch.tanh(trajectory + 0.01 * times[:, None, None])
            trajectory = scheduler.step(output, t, trajectory, generator=generator).prev_sample
        found.append(trajectory)
    assert far(found[1], found[0]) < 1e-5


def test_a_list_of_timesteps_that_callers_cut_is_still_told_by_its_place():
    """Image to image that leaves a part of the list to the scheduler."""
    found = []
    for kind in (diffusers.DDIMScheduler, ours.DDIMScheduler):
        scheduler = kind()
        scheduler.set_timesteps(10)
        scheduler.timesteps = scheduler.timesteps[4:]
        x = torch.linspace(-1, 1, 8).reshape(1, 8)
        for t in scheduler.timesteps:
            x = scheduler.step(model(x, t), t, x, return_dict=False)[0]
        found.append(x)
    assert far(found[1], found[0]) < 1e-5


@pytest.mark.parametrize("orders", [(2, 2, 2, 2, 2), (2, 4, 4, 3, 4), (1, 2, 3, 4, 4)])
def test_orders_of_lms_that_change_give_what_diffusers_gives(orders):
    def last(kind):
        scheduler, sample = kind(), torch.ones(1, 3, 4, 4)
        scheduler.set_timesteps(len(orders))
        for t, order in zip(scheduler.timesteps, orders, strict=True):
            output = torch.sin(scheduler.scale_model_input(sample, t))
            more = {} if order == 4 else {"order": order}
            sample = scheduler.step(output, t, sample, **more, return_dict=False)[0]
        return sample

    assert far(last(ours.LMSDiscreteScheduler), last(diffusers.LMSDiscreteScheduler)) < 1e-6


def test_an_order_of_lms_in_mid_run_is_refused():
    scheduler, sample = ours.LMSDiscreteScheduler(), torch.ones(1, 3, 4, 4)
    scheduler.set_timesteps(5)
    first, second, *_ = scheduler.timesteps
    scheduler.scale_model_input(sample, first)
    sample = scheduler.step(sample, first, sample).prev_sample
    scheduler.scale_model_input(sample, second)
    with pytest.raises(ms.ScheduleError, match="takes one order= for a whole run; given 2"):
        scheduler.step(sample, second, sample, order=2)
