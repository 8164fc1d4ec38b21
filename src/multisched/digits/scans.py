"""1,797 handwritten digits: the test set of "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak
(1998), https://doi.org/10.24432/C50P49, CC BY 4.0. SCANS.md beside this file says more."""

from functools import cache
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("scans.npz")


@cache
def _scans() -> tuple[np.ndarray, np.ndarray]:
    with np.load(FILE) as file:
        return file["images"], file["labels"]


def images() -> np.ndarray:
    """The scanned digits, in the order of scikit-learn's `load_digits`. The network was trained on four of five.

    Returns:
        float32 (1797, 1, 8, 8) in [-1, 1], -1 where the paper is empty.

    Example:
        >>> images = ms.digits.images()
        >>> images.shape, float(images.min()), float(images.max())
        ((1797, 1, 8, 8), -1.0, 1.0)
    """
    return _scans()[0][:, None].astype(np.float32) / 8 - 1


def labels() -> np.ndarray:
    """Which digit each of `images` is.

    Returns:
        int64 (1797,), 0..9.

    Example:
        >>> ms.digits.labels()[:12].tolist()
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    """
    return _scans()[1].astype(np.int64)
