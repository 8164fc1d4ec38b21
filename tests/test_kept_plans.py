"""Plans that a scheduler object is set to are kept, so that the next run of the same arguments makes none."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import multisched as ms
from multisched import variants

pytestmark = pytest.mark.host

RECIPE = ms.FlowMatchEuler(shift=3.0)


def plan(recipe=RECIPE, n=None, **arguments):
    scheduler = recipe.on("numpy")
    scheduler.set_timesteps(n, **arguments)
    return scheduler.plan


def test_equal_arguments_have_one_plan():
    assert plan(n=7) is plan(ms.FlowMatchEuler(shift=3.0), 7)
    assert plan(sigmas=[1.0, 0.5]) is plan(sigmas=[1.0, 0.5])
    assert plan(sigmas=np.asarray([1.0, 0.5])) is plan(sigmas=np.asarray([1.0, 0.5]))
    assert plan(n=7, spacing="karras") is plan(n=7, spacing="karras")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((RECIPE, 7, {}), (ms.FlowMatchEuler(shift=2.0), 7, {})),
        ((RECIPE, 7, {}), (RECIPE, 8, {})),
        ((RECIPE, 7, {}), (RECIPE, 7, {"start": 1})),
        ((RECIPE, 7, {"start": 1}), (RECIPE, 7, {"stop": 1})),
        ((RECIPE, None, {"sigmas": [1.0, 0.5]}), (RECIPE, None, {"sigmas": [1.0, 0.25]})),
        ((RECIPE, None, {"sigmas": np.ones(1)}), (RECIPE, None, {"sigmas": np.ones(1, np.float32) / 2})),
    ],
)
def test_other_arguments_have_another(one, other):
    first, second = (plan(recipe, n, **arguments) for recipe, n, arguments in (one, other))
    assert first != second
    assert second == other[0].plan(other[1], **other[2])


def test_arguments_count_by_their_content():
    given = [1.0, 0.5]
    first = plan(sigmas=given)
    given[1] = 0.25
    assert plan(sigmas=given).sigmas.tolist()[:2] == [1.0, 0.25]
    assert first.sigmas.tolist()[:2] == [1.0, 0.5]


def test_what_equals_a_number_and_is_none_is_refused_still():
    assert len(plan(n=1)) == 1
    for wrong in (True, 1.0, "1"):
        with pytest.raises(ms.ScheduleError):
            plan(n=wrong)


def test_plans_of_other_libraries_are_made_anew():
    strict = pytest.importorskip("array_api_strict")
    sigmas = strict.asarray([1.0, 0.5], dtype=strict.float64)
    assert plan(sigmas=sigmas) is not plan(sigmas=sigmas)


def test_few_are_kept_whatever_threads_ask_for():
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda k: plan(n=2 + k % 50), range(400)))
    assert [len(one) for one in made] == [2 + k % 50 for k in range(400)]
    assert len(variants._plans) <= variants.KEPT_PLANS


def test_a_refused_schedule_leaves_the_one_before():
    scheduler = RECIPE.on("numpy")
    scheduler.set_timesteps(3)
    for _ in range(2):
        with pytest.raises(ms.ScheduleError):
            scheduler.set_timesteps(0)
    assert len(scheduler.plan) == 3
