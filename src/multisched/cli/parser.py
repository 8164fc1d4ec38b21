"""What the command understands. No array library is imported for it, so that --help is quick."""

import argparse
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from multisched.cli.curves import Curves
from multisched.cli.names import FAMILIES, NAMES, SAMPLERS

SOURCES = ("host", "philox", "native", "brownian", "torch-cuda")
PATHS = ("flow", "vp", "edm")
AXES = ("lam", "log-snr", "sigma")
BACKENDS = ("numpy", "torch", "jax", "mlx")
MODELS = ("digits", "exact")
SHELLS = ("bash", "zsh", "fish")
USUAL = ("euler", "heun", "dpm_2", "lms", "dpmpp_2m", "deis", "uni_pc", "angle_adams")
CALLS = (5, 7, 10, 14, 20, 28, 40, 56, 80)

NAME = "a scheduler as `multisched list` names it, its class here or in diffusers, or a sampler of ComfyUI or A1111"
SPACING = "another spacing, such as karras, beta57 or bong_tangent"
SET = "options of the scheduler; `multisched show NAME --options` explains them"
CONFIG = "scheduler_config.json of diffusers, or its folder, in place of a name"

EXAMPLES = {
    "": """
        multisched list --family flow
        multisched show unipc --steps 8
        multisched plot ddim edm-euler flow-match-euler --out levels.svg
        multisched compare euler heun dpmpp_2m --out errors.svg
        multisched sample --class 7 --sampler auto --steps 12 --out sevens.png
    """,
    "list": """
        multisched list
        multisched list --family samplers
        multisched list --json | jq '.[] | select(.stochastic) | .name'
    """,
    "show": """
        multisched show unipc --steps 8
        multisched show DPMSolverMultistepScheduler --set solver_order=3 use_karras_sigmas=true
        multisched show "DPM++ 2M SDE Karras" --steps 10
        multisched show flow-match-euler --options
        multisched show --from-config path/to/pipeline --json
    """,
    "plot": """
        multisched plot ddim edm-euler flow-match-euler --out levels.svg
        multisched plot --steps 12 euler euler --spacing karras euler --spacing beta
        multisched plot flow-match-euler flow-match-euler --set shift=3 --axis log-snr
    """,
    "compare": """
        multisched compare
        multisched compare euler heun dpmpp_2m uni_pc --path vp --calls 5 10 20 40 --out errors.svg
        multisched compare deis deis --spacing beta "DPM++ 2M Karras" --path edm --json
    """,
    "sample": """
        multisched sample
        multisched sample --class 7 --guidance 2 --sampler auto --steps 12 --out sevens.png
        multisched sample --scheduler ddim --backend jax --count 8 --trajectory --out steps.png
        multisched sample --data photos --size 48 --blur 0.05 --scheduler flow-match-heun
    """,
    "completion": """
        eval "$(multisched completion bash)"                                    # in ~/.bashrc
        eval "$(multisched completion zsh)"                                     # in ~/.zshrc
        multisched completion fish > ~/.config/fish/completions/multisched.fish
    """,
}


class Parser(argparse.ArgumentParser):
    """With examples below the options, whole names of options alone, and words that --help does not list."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
        self.names: list[str] = []

    def option(self, *names: str, words: Sequence[str] | Callable[..., Sequence[str]] = (), **options: Any) -> None:
        """An option, and the words that a shell completes, or what finds them."""
        self.names += [name for name in names if name.startswith("--")]
        added: Any = self.add_argument(*names, **options)
        if words:
            added.completer = words if callable(words) else lambda **_: words

    def print_help(self, file: Any = None) -> None:
        """Print it; argparse's own says nothing where it cannot be written."""
        (file or sys.stdout).write(self.format_help())

    def unknown(self, argument: str) -> NoReturn:
        """Refuse what is no option, with the one that is meant."""
        from multisched.values import hint, shown

        name = argument.partition("=")[0]
        kind = "option" if argument.startswith("-") else "argument"
        self.error(f"{self.prog} has no {kind} {shown(name)}{hint(name, self.names)}; --help lists what it has.")


def parser() -> tuple[Parser, dict[str, Parser]]:
    """The whole command, and its subcommands by name."""
    import multisched

    said = "Look at diffusion and flow-matching schedulers, and draw with them."
    whole = Parser(prog="multisched", description=said, usage="multisched COMMAND ...", epilog=_examples(""))
    whole.option("--version", action="version", version=f"multisched {multisched.__version__}")
    places = whole.add_subparsers(required=True, metavar="command", dest="command")
    made: dict[str, Parser] = {}
    for name, (text, more, usage, fill) in COMMANDS.items():
        said = textwrap.fill(f"{text[0].upper()}{text[1:]}. {more}".strip(), 100)
        prog = f"multisched {name}"
        made[name] = places.add_parser(
            name, help=text, prog=prog, description=said, usage=f"{prog} {usage}", epilog=_examples(name)
        )
        fill(made[name].option)
    return whole, made


def _examples(name: str) -> str:
    return f"examples:\n{textwrap.indent(textwrap.dedent(EXAMPLES[name]).strip(), '  ')}"


def _list(option: Callable[..., None]) -> None:
    families = (*FAMILIES, SAMPLERS)
    option("--family", metavar="FAMILY", words=families, help=f"only one family: {', '.join(families)}")
    option("--json", action="store_true", help="print JSON")


def _chosen(option: Callable[..., None], spacing: str = "that of the scheduler") -> None:
    """The options that a scheduler is chosen and planned by."""
    option("--set", nargs="+", action="extend", default=[], metavar="OPTION=VALUE", words=_settings, help=SET)
    option("--from-config", type=Path, metavar="PATH", help=CONFIG)
    option("--spacing", metavar="SPACING", words=_spacings, help=f"{SPACING} (default: {spacing})")


def _settings(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Sequence[str]:
    from multisched.cli.completion import settings

    return settings(prefix, parsed_args)


def _spacings(**_: Any) -> Sequence[str]:
    from multisched import spacings

    return spacings.NAMES


def _planned(option: Callable[..., None], steps: int) -> None:
    option("--steps", type=int, default=steps, metavar="N", help="number of steps (default: %(default)s)")
    option("--mu", type=float, metavar="MU", help="dynamic shift of a flow recipe")


def _written(option: Callable[..., None], default: str | None, formats: str) -> None:
    said = "(default: %(default)s)" if default else "(default: no figure)"
    path = None if default is None else Path(default)
    option("--out", type=Path, default=path, metavar="FILE", help=f"picture to write, {formats} {said}")
    option("--force", action="store_true", help="overwrite an existing file of other content")


def _show(option: Callable[..., None]) -> None:
    option("scheduler", nargs="?", metavar="NAME", words=tuple(NAMES), help=NAME)
    option("--options", action="store_true", help="print the options alone: default, words, what each is")
    option("--json", action="store_true", help="print JSON: options, table and levels")
    _chosen(option)
    _planned(option, 20)


def _plot(option: Callable[..., None]) -> None:
    option("names", nargs="*", metavar="NAME", words=tuple(NAMES), help=f"{NAME}; up to 12")
    _chosen(option)
    _planned(option, 20)
    option("--axis", default="lam", metavar="AXIS", words=AXES,
           help="levels as lam or log-snr, on which all paths compare, or sigma (default: %(default)s)")  # fmt: skip
    option("--title", metavar="TEXT", help="title of the figure")
    _written(option, "plot.png", "svg, pdf or png")


def _compare(option: Callable[..., None]) -> None:
    option("names", nargs="*", metavar="NAME", words=tuple(NAMES),
           help="a sampler, or a scheduler, which keeps its own path; up to 12 (default: eight samplers)")  # fmt: skip
    _chosen(option, "simple on the flow path, else karras; that of a scheduler")
    usual = " ".join(map(str, CALLS))
    option("--calls", nargs="+", type=int, metavar="N", help=f"model calls, at most (default: {usual})")
    option("--steps", nargs="+", type=int, metavar="N", help="numbers of steps instead")
    option("--path", default="flow", metavar="PATH", words=PATHS,
           help="that the samplers run on: flow, vp (Stable Diffusion's) or edm (default: %(default)s)")  # fmt: skip
    option("--json", action="store_true", help="print JSON in place of the table")
    option("--title", metavar="TEXT", help="title of the figure")
    _written(option, None, "svg, pdf or png")


def _sample(option: Callable[..., None]) -> None:
    option("--scheduler", metavar="NAME", words=tuple(NAMES), help=f"{NAME} (default: flow-match-euler)")
    option("--shift", type=float, metavar="SHIFT", help="the same as --set shift=...")
    option("--sampler", metavar="NAME", help="a sampler, auto too, in place of the scheduler's solver and spacing")
    _chosen(option)
    _planned(option, 28)
    option("--model", metavar="MODEL", words=MODELS,
           help="digits, the small network that comes with the package (default); or exact, which knows its data by "
           "heart and draws it again (default with --data)")  # fmt: skip
    option("--class", dest="digit", type=int, metavar="DIGIT", help="that the network draws (default: 0 to 9 in turn)")
    option(
        "--guidance",
        type=float,
        metavar="G",
        help="classifier-free guidance of the network (default: 1.5; 0: no class)",
    )
    option(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="folder of images that the exact model knows, in place of the digits",
    )
    option("--size", type=int, metavar="PIXELS", help="that the images of --data are resized to (default: 32)")
    option("--blur", type=float, metavar="B",
           help="deviation of the noise on each pixel of the data that the exact model knows (default: 0)")  # fmt: skip
    option("--backend", default="numpy", metavar="NAME", words=BACKENDS,
           help="numpy, torch, jax, mlx or another array library (default: %(default)s)")  # fmt: skip
    option("--device", metavar="NAME", help="device of that library, such as cpu or cuda")
    option("--seed", type=int, default=0, metavar="N", help="seed of the noise (default: %(default)s)")
    option("--noise", default="host", metavar="SOURCE", words=SOURCES,
           help=f"source of the noise: {', '.join(SOURCES)} (default: %(default)s)")  # fmt: skip
    option("--count", type=int, default=16, metavar="N", help="number of images (default: %(default)s)")
    option(
        "--trajectory", action="store_true", help="show the run: a row for each of ten levels, an image in each column"
    )
    _written(option, "grid.png", "png or another format of Pillow")


def _completion(option: Callable[..., None]) -> None:
    option("shell", metavar="SHELL", words=SHELLS, help="bash, zsh or fish")


class Command(NamedTuple):
    """A subcommand.

    Attributes:
        text: what it does, in a few words.
        more: the sentences of its help.
        usage: what follows its name.
        fill: adds its options.
    """

    text: str
    more: str
    usage: str
    fill: Callable[[Callable[..., None]], None]


OWN = "What stands after a name belongs to that curve, what stands before the first name to all: --set, --spacing"
COMMANDS = {
    "list": Command("list schedulers and samplers by family", "", "[--family FAMILY] [--json]", _list),
    "show": Command(
        "show one scheduler: options, table, levels",
        "The table has a row for each model call: where it stands, and the sums that it does.",
        "NAME [--set OPTION=VALUE ...] [--steps N] [--options | --json] ...",
        _show,
    ),
    "plot": Command(
        "draw noise levels and timesteps of schedulers",
        f"{OWN}, --steps and --mu.",
        "NAME [--set OPTION=VALUE ...] [--spacing SPACING] ... [NAME ...] [--axis AXIS] [--out FILE]",
        _plot,
    ),
    "compare": Command(
        "compare samplers: error over model calls",
        "The model is the perfect one of three Gaussian bumps on a line, so that the exact end of every run is known. "
        f"Trained networks may rank samplers otherwise. {OWN}.",
        "[NAME [--set OPTION=VALUE ...] [--spacing SPACING] ...] [--path PATH] [--calls N ...] [--out FILE]",
        _compare,
    ),
    "sample": Command(
        "draw images and write a picture of them",
        "The model is a small trained network of handwritten digits, or the exact denoiser of a data set.",
        "[--scheduler NAME] [--sampler NAME] [--steps N] [--class DIGIT] [--data FOLDER] [--out FILE] ...",
        _sample,
    ),
    "completion": Command(
        "make a shell complete names and options", "Prints code for a shell to run.", "bash | zsh | fish", _completion
    ),
}

CURVES = {
    "plot": Curves(("--spacing", "--steps", "--mu"), ("--axis", "--title", "--out")),
    "compare": Curves(("--spacing",), ("--path", "--title", "--out"), ("--calls", "--steps"), USUAL),
}
"""The subcommands whose options belong to the name before them."""
