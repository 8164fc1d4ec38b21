"""What messages say of values that a user gave: short, whatever they are, with the word that was meant."""

import re
import reprlib
from collections.abc import Iterable
from typing import Any

import numpy as np

_LONGEST = 90  # characters of a value in a message
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 60
_REPR.maxlist = _REPR.maxtuple = _REPR.maxset = _REPR.maxdict = 4
_REPR.maxlevel = 3

# What words are called elsewhere, lower case and without separators.
_ALIASES = {
    "cosine": ("squaredcos_cap_v2",),
    "squaredcos": ("squaredcos_cap_v2",),
    "quadratic": ("scaled_linear",),
    "sqrtlinear": ("scaled_linear",),
    "v": ("v_prediction",),
    "vpred": ("v_prediction",),
    "velocity": ("v_prediction", "flow_prediction"),
    "eps": ("epsilon",),
    "noise": ("epsilon",),
    "x0": ("sample",),
    "xstart": ("sample",),
    "flow": ("flow_prediction", "use_flow_sigmas"),
    "dpmsolverpp": ("dpmsolver++",),
    "dpmpp": ("dpmsolver++",),
    "sdedpmsolverpp": ("sde-dpmsolver++",),
    "sgm": ("sgm_uniform",),
    "karras": ("use_karras_sigmas",),
    "exponential": ("use_exponential_sigmas",),
    "beta": ("use_beta_sigmas",),
    "rescalezeroterminalsnr": ("rescale_betas_zero_snr",),
    "zeroterminalsnr": ("rescale_betas_zero_snr",),
    "numinferencesteps": ("n", "num_train_timesteps"),
}


def shown(value: Any) -> str:
    """Any value for a message: in one line, at most 90 characters, the middle of a long one left out."""
    try:
        text = _text(value)
    except Exception:  # a value of another library may fail in any way of its own, and the message is about another
        text = f"a value of type {type(value).__name__}"
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[:60]}...{text[-20:]}"


def _text(value: Any) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, int) and abs(value) >= 1 << 63:
        return f"an int of {value.bit_length()} bits"
    if isinstance(value, np.ndarray):
        with np.printoptions(threshold=6, edgeitems=2, linewidth=1000):
            return str(value)
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array of shape {tuple(value.shape)}"
    return _REPR.repr(value)


def near(word: Any, allowed: Iterable[str]) -> str | None:
    """The one of the allowed words that a word most likely stands for: the same in other letters, what it is called
    elsewhere, or one that is spelled alike. None where there is no such word."""
    if not isinstance(word, str) or not 0 < len(word) <= 100:
        return None
    plain = {_plain(one): one for one in allowed}
    key = _plain(word)
    for one in (key, *map(_plain, _ALIASES.get(key, ()))):
        if one in plain:
            return plain[one]
    from difflib import get_close_matches  # for a message only

    found = get_close_matches(key, plain, 1, 0.7)
    return plain[found[0]] if found else None


def _plain(word: str) -> str:
    return re.sub(r"[\s_.-]", "", word.lower())


def hint(word: Any, allowed: Iterable[str]) -> str:
    """`near` for the end of a message: " (did you mean ...?)", or nothing."""
    found = near(word, allowed)
    return "" if found is None else f" (did you mean {found!r}?)"
