"""A small class-conditional network of handwritten digits, written once for every array library, with its weights."""

from multisched.digits.model import NONE, RECIPE, Denoiser, Network, conditions, guided, load

__all__ = ["NONE", "RECIPE", "Denoiser", "Network", "conditions", "guided", "load"]
