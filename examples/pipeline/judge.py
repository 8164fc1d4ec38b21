"""What pictures of digits are worth: a classifier of the real ones, and Frechet's distance in the space of pixels."""

from functools import cache

import numpy as np

from multisched import digits


@cache
def real():
    """The digits (1797, 64) in [-1, 1], their classes, and which of them the network was not trained on."""
    images = digits.images().reshape(-1, 64)
    return images, digits.labels(), np.arange(len(images)) % 5 == 4


@cache
def classifier():
    """A support vector machine on the digits that the network was trained on."""
    from sklearn.svm import SVC

    images, classes, held = real()
    return SVC(C=10, gamma="scale").fit(images[~held], classes[~held])


def flat(images):
    """Pictures (samples, 1, 8, 8) as a picture file shows them: (samples, 64) in [-1, 1]."""
    return np.clip(np.reshape(images, (len(images), -1)), -1, 1)


def accuracy(images, classes):
    """The share of the pictures in which the classifier sees the class asked for."""
    return float(np.mean(classifier().predict(flat(images)) == classes))


def frechet(one, other):
    """|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)) of the means and covariances of pixels (Dowson and Landau 1982)."""
    one, other = (np.asarray(values, dtype=np.float64) for values in (one, other))
    apart = one.mean(0) - other.mean(0)
    first, second = np.cov(one.T), np.cov(other.T)
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    mixed = np.sqrt(np.clip(np.linalg.eigvalsh(root @ second @ root), 0, None))
    return float(apart @ apart + np.trace(first) + np.trace(second) - 2 * mixed.sum())


def nearest(images, points):
    """Root mean square distance per pixel to the nearest of the points, mean over the images."""
    squares = (images**2).sum(1)[:, None] + (points**2).sum(1) - 2 * images @ points.T
    return float(np.sqrt(np.clip(squares.min(1), 0, None) / images.shape[1]).mean())
