"""Fixtures: one backend per test run, asked for by name, and never skipped in silence.

    pytest --backend torch --device cuda

`--last-bits host` or `device` changes the last bits of functions that IEEE 754 does not fix (`tests/last_bits.py`).
`--require-backend` makes a run that executed no test on its backend a failure.
"""

from typing import Any

import numpy as np
import pytest

import multisched as ms
from multisched.backends import Backend

NO_FLOAT64 = "no_float64"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--backend", default="numpy", help="backend to run the tests on")
    parser.addoption("--device", default=None, help="its device: cuda, mps, gpu, tpu, metal, no_float64...")
    parser.addoption(
        "--last-bits", choices=("host", "device"), help="whose elementary functions and sums are off by a last bit"
    )
    parser.addoption("--require-backend", action="store_true", help="fail unless tests ran on the backend")


def pytest_report_header(config: pytest.Config) -> list[str]:
    wanted = config.getoption("--backend")
    lines = [f"backend under test: {wanted}, device {config.getoption('--device') or 'default'}"]
    found = ms.backends.available().values()
    return lines + [f"  {one.name}: {one.version or 'absent'} {one.reason or ', '.join(one.devices)}" for one in found]


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> Backend[Any]:
    """The backend asked for; a missing one is a failure."""
    try:
        return ms.backends.get(request.config.getoption("--backend"))
    except ms.ScheduleError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def xp(backend: Backend[Any]) -> Any:
    """The backend's array-API namespace."""
    return backend.xp


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest, backend: Backend[Any]) -> Any:
    """The device asked for, or None for the backend's default."""
    wanted = request.config.getoption("--device")
    if wanted == NO_FLOAT64:
        return next(found for found in backend.xp.__array_namespace_info__().devices() if NO_FLOAT64 in str(found))
    return wanted


@pytest.fixture(scope="session")
def has_float64(backend: Backend[Any], device: Any) -> bool:
    """Whether float64 stays float64 there (not on JAX without x64, on Metal, or on a device without it)."""
    try:
        one = backend.asarray([1.0], "float64", device)
        backend.synchronize(one)
        return str(one.dtype).endswith("float64")
    except (TypeError, ValueError, RuntimeError, UserWarning):
        return False


@pytest.fixture
def make(backend: Backend[Any], device: Any) -> Any:
    """make(values, dtype="float32"): an array of the backend under test, on its device."""

    def array(values: Any, dtype: str = "float32") -> Any:
        return backend.asarray(np.asarray(values), dtype, device)

    return array


class _Count:
    def __init__(self) -> None:
        self.ran = 0

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed and "backend" in getattr(report, "fixtures_used", ()):
            self.ran += 1


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    outcome = yield
    outcome.get_result().fixtures_used = tuple(getattr(item, "fixturenames", ()))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_COUNT] = _Count()
    config.pluginmanager.register(config.stash[_COUNT])
    if where := config.getoption("--last-bits"):
        from tests import last_bits

        last_bits.change(where, ms.backends.get(config.getoption("--backend")))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    terminalreporter.write_line(f"{config.stash[_COUNT].ran} tests ran on {config.getoption('--backend')}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("--require-backend") and session.config.stash[_COUNT].ran == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


_COUNT = pytest.StashKey[_Count]()
