"""Handwritten digits, and a small class-conditional network of them, written once for every array library, with its
weights."""

from multisched.digits.model import NONE, RECIPE, Denoiser, Network, conditions, guided, load
from multisched.digits.scans import images, labels

__all__ = ["NONE", "RECIPE", "Denoiser", "Network", "conditions", "guided", "images", "labels", "load"]
