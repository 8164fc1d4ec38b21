"""The names of schedulers on the command line, and which one a user means. Nothing is imported to know them."""

import re
from collections.abc import Mapping

from multisched.errors import ScheduleError

FAMILIES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "flow": (
        "flow matching",
        ("FlowMatchEuler", "FlowMatchHeun", "FlowMatchPingPong", "FlowMatchLCM", "FlowMapEuler", "LTXEulerAncestralRF",
         "MiniMaxH3", "Helios", "HeliosDMD", "Piflow", "RFD4Proteina"),
    ),
    "one-step": (
        "one step, variance preserving",
        ("DDIM", "DDIMInverse", "CogVideoXDDIM", "DDPM", "DDPMWuerstchen", "UnCLIP", "RePaint"),
    ),
    "sigma": (
        "in sigma / alpha, as k-diffusion has it",
        ("Euler", "EulerAncestral", "Heun", "KDPM2", "KDPM2Ancestral", "DPMSolverSDE", "EDMEuler", "KarrasVe"),
    ),
    "multistep": (
        "multistep and singlestep, of high order",
        ("DPMSolverMultistep", "DPMSolverMultistepInverse", "DPMSolverSinglestep", "EDMDPMSolverMultistep",
         "CosineDPMSolverMultistep", "CogVideoXDPM", "UniPCMultistep", "DEISMultistep", "SASolver", "LMS", "PNDM",
         "IPNDM"),
    ),
    "consistency": (
        "consistency models and other distilled ones",
        ("LCM", "TCD", "SCM", "CMStochasticIterative", "ConsistencyDecoder"),
    ),
    "score": ("score SDEs", ("ScoreSdeVe", "ScoreSdeVp")),
}  # fmt: skip
"""Of each family its title, and the classes in the order of the list."""

SAMPLERS = "samplers"
"""The family of what `ms.sampler` takes."""

_WORDS = {"CogVideoX": "Cogvideox-", "MiniMax": "Minimax", "RePaint": "Repaint", "UnCLIP": "Unclip", "UniPC": "Unipc-"}
_WORDS |= {"EDMDPM": "Edm-DPM"}
_ALSO = {
    "dpm++": "dpm-solver-multistep",
    "dpmpp": "dpm-solver-multistep",
    "dpm-sde": "dpm-solver-sde",
    "edm-dpm-solver": "edm-dpm-solver-multistep",
    "flow-euler": "flow-match-euler",
    "flow-heun": "flow-match-heun",
    "flow-lcm": "flow-match-lcm",
    "pingpong": "flow-match-ping-pong",
    "consistency-models": "cm-stochastic-iterative",
}


def named(kind: str) -> str:
    """The name of a class on the command line, as "flow-match-euler" for FlowMatchEuler.

    Example:
        >>> from multisched.cli.names import named
        >>> named("CogVideoXDDIM"), named("UniPCMultistep"), named("LTXEulerAncestralRF")
        ('cogvideox-ddim', 'unipc-multistep', 'ltx-euler-ancestral-rf')
    """
    for word, plain in _WORDS.items():
        kind = kind.replace(word, plain)
    dashed = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", kind)
    return re.sub("-+", "-", dashed).strip("-").lower()


NAMES: Mapping[str, str] = {named(kind): kind for _, kinds in FAMILIES.values() for kind in kinds}
"""The class of each name."""


def found(name: str) -> str | None:
    """The name on the command line of a scheduler that is called by it, or by its class, here or in diffusers, in any
    case, with or without "-"; None where there is none.

    Example:
        >>> from multisched.cli.names import found
        >>> found("DPMSolverMultistepScheduler"), found("FlowMatchEulerDiscreteScheduler"), found("uni-pc-multistep")
        ('dpm-solver-multistep', 'flow-match-euler', 'unipc-multistep')
    """
    known = {_plain(one): one for one in NAMES} | {_plain(also): one for also, one in _ALSO.items()}
    return known.get(_plain(_short(name)))


def begun(name: str) -> str | None:
    """The only scheduler whose name begins with the words of another one.

    Example:
        >>> from multisched.cli.names import begun
        >>> begun("unipc"), begun("edm-dpm"), begun("flow")
        ('unipc-multistep', 'edm-dpm-solver-multistep', None)
    """
    word = _short(name).lower()
    fitting = [one for one in NAMES if one.startswith(f"{word}-")]
    return fitting[0] if len(fitting) == 1 else None


def missing(name: str, others: tuple[str, ...] = ()) -> ScheduleError:
    """What is said of a name that is none: the ones that may be meant."""
    from difflib import get_close_matches

    from multisched.values import near, shown

    word = _short(name).lower().replace("_", "-")
    meant = [one for one in NAMES if word and one.startswith(word)] or (
        get_close_matches(word, NAMES, 2, 0.7) + get_close_matches(name.lower(), others, 2, 0.7)
    )
    meant = list(dict.fromkeys(meant))[:3] or [one for one in [near(name, (*NAMES, *others))] if one]
    said = f" (did you mean {' or '.join(meant)}?)" if meant else ""
    return ScheduleError(f"there is no scheduler or sampler {shown(name)}{said}; `multisched list` has all of them.")


def _short(name: str) -> str:
    return re.sub(r"(Parallel|Discrete)?(Parallel)?Scheduler?$", "", name)


def _plain(name: str) -> str:
    return name.replace("-", "").lower()
