#!/usr/bin/env -S uv run --script
# /// script
# dependencies = ["nox>=2025.2.9"]
# ///
"""The matrix: `nox` runs all of it; what a platform cannot have is skipped with its reason in the closing table.

nox -s tests                          the suite on every backend
nox -s processors                     the same as on processors without fused products, and with other last bits
nox -s tests -- --device cuda         the same on an accelerator: cuda, mps, gpu, tpu or metal
nox -s peers -- --write-table         parity with diffusers and k-diffusion, and docs/parity.md made anew from it
nox -s docs                           the site; `-- --browser` fails where there is no Chromium to open it with
nox -s orders                         docs/orders.md made anew: measured orders of convergence and of laws
nox -s fuzz -- --count 200000         random input, which is no part of the default run
nox -s terrain                        a published network through ONNX Runtime, which is no part of the default run
nox -s onnx                           the network of digits through ONNX Runtime, which is no part of the default run
nox -s lowest                         the suite on the oldest versions allowed, which is no part of the default run
nox -s newest                         the suite on the newest versions there are, which is no part of the default run
nox -s bench                          the benchmarks, which are no part of the default run
nox -s bench -- --check               whether a ratio is worse by a quarter than in the results that are kept
"""

import platform
import re
import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.error_on_missing_interpreters = False
nox.options.default_venv_backend = "virtualenv"

PROJECT = nox.project.load_toml("pyproject.toml")
CONSTRAINTS = ("--constraint", "constraints.txt")
# pip would compile every file that it installs, in one process; Python compiles those that are imported, once where it
# may keep them. Ours are compiled at once all the same: a test may say how long what it calls takes.
UNCOMPILED = "--no-compile"
COMPILE_OURS = "import compileall, multisched; compileall.compile_dir(multisched.__path__[0], quiet=2)"
# Its samplers need what the group "peers" has; the rest of it needs another torch, and much more. No group can say so.
K_DIFFUSION = "k-diffusion==0.1.1.post1"

# Of it the network alone is used, and none of what it depends on.
TERRAIN = "adaptive-terrain-diffusion==0.4.2"

# What looks at plans alone is the same on each backend.
BACKEND_ONLY = ("-m", "not host")

# How each backend is asked for, and the packages it needs beside the core.
BACKENDS = {
    "numpy": ([".[numba]"], ["--backend", "numpy"]),
    "torch": ([".[torch]"], ["--backend", "torch", *BACKEND_ONLY]),
    "jax": ([".[jax]"], ["--backend", "jax", *BACKEND_ONLY]),
    "mlx": ([".[mlx]"], ["--backend", "mlx", *BACKEND_ONLY]),
    "array-api-strict": (
        nox.project.dependency_groups(PROJECT, "strict"),
        ["--backend", "array_api_strict", "--device", "no_float64", *BACKEND_ONLY],
    ),
    "cupy": (["cupy-cuda13x"], ["--backend", "cupy", *BACKEND_ONLY]),
}

# The accelerators that `-- --device` may name, each with the package that serves it where the plain one does not.
ACCELERATORS: dict[str, dict[str, str | None]] = {
    "torch": {"cuda": None, "mps": None},
    "jax": {"gpu": "jax[cuda13]", "tpu": "jax[tpu]"},
    "mlx": {"metal": None, "gpu": "mlx[cuda13]" if sys.platform == "linux" else None},
    "cupy": {"cuda": None},
}


def _missing(backend: str, device: str | None) -> str | None:
    """Why this platform cannot have a backend, or the backend not the device."""
    if device is not None and device not in ACCELERATORS.get(backend, {}):
        return f"{backend} has no device {device}"
    if backend == "cupy" and not shutil.which("nvidia-smi"):
        return "cupy needs a CUDA device"
    if backend == "mlx" and sys.platform == "win32":
        return "mlx has no build for Windows"
    return None


def _install(session: nox.Session, *groups: str, extras: list[str] | None = None) -> None:
    dependencies = nox.project.dependency_groups(PROJECT, *groups)
    session.install(UNCOMPILED, *CONSTRAINTS, ".[cli]", *(extras or []), *dependencies)
    session.env["PYTHONDONTWRITEBYTECODE"] = ""
    session.run("python", "-c", COMPILE_OURS)


def _test(session: nox.Session, arguments: list[str], env: dict[str, str] | None = None) -> None:
    # One process to each core, save on an accelerator, which has but one memory.
    workers = [] if "--device" in session.posargs else ["-n", "auto"]
    wanted = ["pytest", *workers, "--ignore", "tests/peers", "--require-backend", *arguments, *session.posargs]
    session.run(*wanted, env={"OMP_NUM_THREADS": "1", **(env or {})})


@nox.session
@nox.parametrize("backend", list(BACKENDS), ids=list(BACKENDS))
def tests(session: nox.Session, backend: str) -> None:
    """The suite on one backend."""
    given = session.posargs
    device = given[given.index("--device") + 1] if "--device" in given else None
    if reason := _missing(backend, device):
        session.skip(reason)
    packages, arguments = BACKENDS[backend]
    accelerated = ACCELERATORS.get(backend, {}).get(device or "")
    _install(session, "test", extras=[*packages, *([accelerated] if accelerated else [])])
    _test(session, arguments)


# What makes one machine compute as others do: instruction sets without fused products, or with shorter vectors.
NARROW = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL",
    "OPENBLAS_CORETYPE": "Prescott",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX",
}


@nox.session(default=False)
@nox.parametrize("last_bits", ["host", "device"], ids=["host", "device"])
@nox.parametrize("backend", ["numpy", "torch", "jax", "mlx"], ids=["numpy", "torch", "jax", "mlx"])
def processors(session: nox.Session, backend: str, last_bits: str) -> None:
    """The suite on a narrower instruction set (x86), and with functions that are off by a last bit."""
    packages, arguments = BACKENDS[backend]
    _install(session, "test", extras=packages)
    # torch's compiled kernels are of one instruction set; a cache that others share holds those of another.
    narrow = {**NARROW, "TORCHINDUCTOR_CACHE_DIR": session.create_tmp()} if platform.machine() == "x86_64" else {}
    _test(session, [*arguments, "--last-bits", last_bits], env=narrow)


@nox.session(python=["3.12", "3.13", "3.14", "3.14t"])
def newer_python(session: nox.Session) -> None:
    """The suite on NumPy, on the newer Pythons where they are installed."""
    _install(session, "test")
    _test(session, [*BACKENDS["numpy"][1], *BACKEND_ONLY])


def _oldest(*extras: str) -> list[str]:
    """The lower bounds of the core's dependencies and of some extras, each as the one version that is allowed."""
    project = PROJECT["project"]
    wanted = [*project["dependencies"], *(one for extra in extras for one in project["optional-dependencies"][extra])]
    found = [re.sub(r">=([\d.]+).*", r"==\1", one) for one in wanted]
    return [COMPILING if one.startswith("torch==") else one for one in found]


# The oldest torch whose compiler takes a plan that a function closes over; all else goes from 2.6 on.
COMPILING = "torch==2.9"
# What the oldest versions do otherwise: in a user's torch.compile, the scheduler object refuses a timestep that is a
# number on torch 2.9.
OLD = {"torch": ("--deselect", "tests/test_traced.py::test_torch_compiles_a_step_with_a_number")}


@nox.session(python="3.11", default=False)
@nox.parametrize("backend", ["numpy", "torch", "jax"], ids=["numpy", "torch", "jax"])
def lowest(session: nox.Session, backend: str) -> None:
    """The suite on the oldest versions that pyproject.toml allows. MLX's is the newest too."""
    extras = ["cli", "hub", *([] if backend == "numpy" else [backend])]
    # Matplotlib 3.9 calls what pyparsing 3.3 warns of.
    session.install(".", *_oldest(*extras), "pyparsing<3.3", *nox.project.dependency_groups(PROJECT, "test"))
    _test(session, [*BACKENDS[backend][1], *OLD.get(backend, ())])


@nox.session(default=False)
@nox.parametrize("backend", ["numpy", "torch", "jax", "mlx"], ids=["numpy", "torch", "jax", "mlx"])
def newest(session: nox.Session, backend: str) -> None:
    """The suite on the newest versions there are, whatever constraints.txt pins."""
    packages = nox.project.dependency_groups(PROJECT, "test")
    session.install("--upgrade", "--upgrade-strategy", "eager", ".[cli]", *BACKENDS[backend][0], *packages)
    _test(session, BACKENDS[backend][1])


@nox.session
def peers(session: nox.Session) -> None:
    """Our tables against diffusers' and our runs against k-diffusion's; `-- --write-table` makes the page."""
    _install(session, "test", "peers", extras=[".[torch]"])
    session.install(UNCOMPILED, "--no-deps", K_DIFFUSION)
    figures = session.create_tmp()
    for old in Path(figures).glob("*.json"):
        old.unlink()
    arguments = [one for one in session.posargs if one != "--write-table"]
    session.run(
        "pytest", "-n", "auto", "tests/peers", *arguments, env={"OMP_NUM_THREADS": "1", "PARITY_REPORT": figures}
    )
    if "--write-table" in session.posargs:
        page = session.run("python", "tests/peers/table.py", figures, silent=True)
        Path("docs", "parity.md").write_text(str(page), encoding="utf-8")


@nox.session
def lint(session: nox.Session) -> None:
    """Style and formatting, and the workflows."""
    session.install(UNCOMPILED, *nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("zizmor", "--offline", "--quiet", ".github")


@nox.session
def package(session: nox.Session) -> None:
    """The wheel and the sdist as they would be published, and what sp-repo-review says about the repository."""
    session.install(UNCOMPILED, *nox.project.dependency_groups(PROJECT, "package"))
    made = Path(session.create_tmp())
    for old in made.glob("multisched*"):
        old.unlink()
    session.run("python", "-m", "build", "--outdir", str(made))
    session.run("twine", "check", "--strict", *(str(one) for one in made.glob("multisched*")))
    session.run("check-wheel-contents", *(str(one) for one in made.glob("*.whl")))
    if Path(".git").exists():
        session.run("check-sdist", "--no-isolation")
    session.run("sp-repo-review", ".")


@nox.session
def types(session: nox.Session) -> None:
    """The type checker, with every framework there: a tensor in is a tensor out."""
    _install(session, "test", "types", extras=[".[torch,jax,mlx]" if sys.platform != "win32" else ".[torch,jax]"])
    session.run("mypy")


# What a browser of the Chromium kind is called where it is installed.
CHROMIUM = ("google-chrome", "google-chrome-stable", "chromium", "chromium-browser", "chrome")


@nox.session
def docs(session: nox.Session) -> None:
    """The site, in docs/_build/html: a warning is an error; then its links, and its pages in headless Chromium."""
    _install(session, "docs")
    for made in ("_build/html", "_build/.doctrees", "auto_gallery", "api/levels"):
        shutil.rmtree(Path("docs", made), ignore_errors=True)  # a program that ran before may fail now
    env = {"OMP_NUM_THREADS": "1"}
    session.run("sphinx-build", "--fail-on-warning", "--keep-going", "docs", "docs/_build/html", env=env)
    session.run("pytest", "tests/site/links.py")
    browser, driver = next(filter(None, map(shutil.which, CHROMIUM)), None), shutil.which("chromedriver")
    if browser and driver:
        env = {
            "CHROMIUM": browser,
            "CHROMEDRIVER": driver,
            "SCREENSHOTS": str(Path(session.create_tmp(), "screenshots")),
        }
        session.run("pytest", "tests/site/browser.py", env=env)
    else:
        reason = "no Chromium with chromedriver is installed; the site is built and its links hold, unseen by a browser"
        (session.error if "--browser" in session.posargs else session.skip)(reason)


@nox.session(default=False)
def orders(session: nox.Session) -> None:
    """The page about orders of convergence and of laws, from measurements."""
    _install(session, "test")
    page = session.run("python", "tests/orders.py", silent=True)
    Path("docs", "orders.md").write_text(str(page), encoding="utf-8")


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Random recipes, configurations and arguments, 200,000 unless `-- --count N --seed S` says otherwise."""
    _install(session, "test")
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": "tests"}
    session.run("python", "tests/fuzz.py", *session.posargs, env=environment)


@nox.session(default=False)
def terrain(session: nox.Session) -> None:
    """examples/terrain.py, against the package whose network it draws with; its wheel is 39 MB."""
    _install(session, "test")
    session.install("onnxruntime")
    session.install("--no-deps", TERRAIN)
    session.run("pytest", "tests/terrain.py", *session.posargs)


@nox.session(default=False)
def onnx(session: nox.Session) -> None:
    """The network of digits as an ONNX graph: its pictures by ONNX Runtime are NumPy's."""
    _install(session, "onnx")
    session.run("python", "examples/pipeline/export.py", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Time and memory of steps and plans, beside diffusers."""
    _install(session, "bench", "peers", extras=[".[torch,jax,mlx,numba]"])
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(python="3.12", default=False)
def bench_skrample(session: nox.Session) -> None:
    """Time per step on NumPy arrays, beside skrample, which needs Python 3.12."""
    _install(session, "bench-skrample")
    session.run("python", "-m", "benchmarks.against_skrample", *session.posargs)


if __name__ == "__main__":
    nox.main()
