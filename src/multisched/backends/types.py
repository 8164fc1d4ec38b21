"""The frameworks' array types under one name each, for type checkers. At run time this module is never imported."""

import mlx.core
import numpy as np
import torch
from jax import Array as JaxArray

NumPyArray = np.ndarray
MLXArray = mlx.core.array
TorchTensor = torch.Tensor

__all__ = ["JaxArray", "MLXArray", "NumPyArray", "TorchTensor"]
