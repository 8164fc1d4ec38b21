"""Models whose denoiser is known in closed form, to test and to look at schedulers without a trained network; the law
that a plan makes of a Gaussian; the order of a solver, measured; and plans fitted to a model."""

from multisched.analysis.convergence import order
from multisched.analysis.ends import error
from multisched.analysis.exact import DataSet, Distribution, Gaussian, Mixture, model_of
from multisched.analysis.files import load, save
from multisched.analysis.fitted import fit
from multisched.analysis.moments import Moments, MultivariateGaussian, moments

__all__ = [
    "DataSet",
    "Distribution",
    "Gaussian",
    "Mixture",
    "Moments",
    "MultivariateGaussian",
    "error",
    "fit",
    "load",
    "model_of",
    "moments",
    "order",
    "save",
]
