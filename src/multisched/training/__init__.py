"""Training: densities that times are drawn from, weights of losses by the signal-to-noise ratio, targets, and
conversions between prediction types. Frozen values and pure functions, on every array library."""

from typing import TYPE_CHECKING

from multisched.lazy import attached

if TYPE_CHECKING:
    from multisched.training.consistency import (
        Target as Target,
        consistency_steps as consistency_steps,
        mean_flow_target as mean_flow_target,
        pseudo_huber as pseudo_huber,
        scm_target as scm_target,
    )
    from multisched.training.conversion import convert as convert
    from multisched.training.laws import (
        Beta as Beta,
        CosMap as CosMap,
        LogitNormal as LogitNormal,
        LogNormal as LogNormal,
        Mode as Mode,
        Uniform as Uniform,
    )
    from multisched.training.loss import Weight as Weight, log_snr_pdf as log_snr_pdf
    from multisched.training.times import (
        Density as Density,
        Shifted as Shifted,
        resolution_shift as resolution_shift,
    )
    from multisched.training.weights import (
        EDM as EDM,
        P2 as P2,
        ByDensity as ByDensity,
        Constant as Constant,
        Debiased as Debiased,
        MinSNR as MinSNR,
        Sigmoid as Sigmoid,
        SoftMinSNR as SoftMinSNR,
        TruncatedSNR as TruncatedSNR,
    )

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = attached(
        __name__,
        {
            "consistency": "Target consistency_steps mean_flow_target pseudo_huber scm_target",
            "conversion": "convert",
            "times": "Density Shifted resolution_shift",
            "loss": "Weight log_snr_pdf",
            "laws": "Beta CosMap LogNormal LogitNormal Mode Uniform",
            "weights": "ByDensity Constant Debiased EDM MinSNR P2 Sigmoid SoftMinSNR TruncatedSNR",
        },
    )
