"""Models whose denoiser is known in closed form, to test and to look at schedulers without a trained network."""

from multisched.analysis.exact import DataSet, Distribution, Gaussian, Mixture, model_of

__all__ = ["DataSet", "Distribution", "Gaussian", "Mixture", "model_of"]
