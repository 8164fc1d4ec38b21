"""The normal law's distribution function and its inverse, in array-API operations."""

import math
from typing import Any

# log(erfc(x) exp(x^2) / t) as a polynomial of t = 1 / (1 + x / 2) in (0, 1], by Chebyshev's points.
_TAIL = (
    -1.2655121242770677,
    0.9999999272501188,
    0.37502019900653866,
    0.08259243325114667,
    -0.07473419449992065,
    -0.2337078899209488,
    0.3355402257726754,
    -1.225425168772177,
    2.398733727840991,
    -2.205107499149759,
    0.9913575968373218,
    -0.17875724380166597,
)

# Numerators and denominators of Wichura's rational functions, from the constant on: in r = 0.180625 - (p - 1/2)^2 where
# |p - 1/2| <= 0.425, else in s - 1.6 for s = sqrt(-log p) <= 5, else in s - 5.
_MIDDLE = (
    (
        3.3871328727963666080,
        133.14166789178437745,
        1971.5909503065514427,
        13731.693765509461125,
        45921.953931549871457,
        67265.770927008700853,
        33430.575583588128105,
        2509.0809287301226727,
    ),
    (
        1.0,
        42.313330701600911252,
        687.18700749205790830,
        5394.1960214247511077,
        21213.794301586595867,
        39307.895800092710610,
        28729.085735721942674,
        5226.4952788528545610,
    ),
)
_NEAR = (
    (
        1.42343711074968357734,
        4.63033784615654529590,
        5.76949722146069140550,
        3.64784832476320460504,
        1.27045825245236838258,
        0.241780725177450611770,
        0.0227238449892691845833,
        7.74545014278341407640e-4,
    ),
    (
        1.0,
        2.05319162663775882187,
        1.67638483018380384940,
        0.689767334985100004550,
        0.148103976427480074590,
        0.0151986665636164571966,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ),
)
_FAR = (
    (
        6.65790464350110377720,
        5.46378491116411436990,
        1.78482653991729133580,
        0.296560571828504891230,
        0.0265321895265761230930,
        0.00124266094738807843860,
        2.71155556874348757815e-5,
        2.01033439929228813265e-7,
    ),
    (
        1.0,
        0.599832206555887937690,
        0.136929880922735805310,
        0.0148753612908506148525,
        7.86869131145613259100e-4,
        1.84631831751005468180e-5,
        1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    ),
)


def cdf(xp: Any, z: Any) -> Any:
    """The share of unit normals below z, to 1e-8 of the smaller of it and what is left of 1: erfc(-z / sqrt(2)) / 2."""
    x = xp.abs(z) * math.sqrt(0.5)
    t = 1 / (1 + 0.5 * x)
    tail = 0.5 * t * xp.exp(_horner(_TAIL, t) - x * x)
    return xp.where(z < 0, tail, 1 - tail)


def quantile(xp: Any, p: Any) -> Any:
    """The z below which a share p in (0, 1) of unit normals lies (Wichura 1988, algorithm AS 241, doi 10.2307/2347330),
    to 16 digits in float64."""
    apart = p - 0.5
    inner = xp.abs(apart) <= 0.425
    r = 0.180625 - xp.where(inner, apart, 0.0 * apart) ** 2
    middle = apart * _horner(_MIDDLE[0], r) / _horner(_MIDDLE[1], r)
    left = xp.where(inner, 0.0 * p + 0.05, xp.where(apart < 0, p, 1 - p))
    s = xp.sqrt(-xp.log(left))
    near, far = s - 1.6, s - 5.0
    tail = xp.where(
        s <= 5.0, _horner(_NEAR[0], near) / _horner(_NEAR[1], near), _horner(_FAR[0], far) / _horner(_FAR[1], far)
    )
    return xp.where(inner, middle, xp.where(apart < 0, -tail, tail))


def _horner(coefficients: tuple[float, ...], x: Any) -> Any:
    """c0 + c1 x + c2 x^2 + ..."""
    total = x * coefficients[-1] + coefficients[-2]
    for coefficient in coefficients[-3::-1]:
        total = total * x + coefficient
    return total
