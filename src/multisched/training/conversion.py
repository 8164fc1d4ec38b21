"""Conversion between prediction types."""

from typing import Any

from multisched.backends import B
from multisched.errors import ScheduleError
from multisched.predictions import Prediction, PredictionType
from multisched.schedulers import Recipe
from multisched.schedulers.forward import made, mixed
from multisched.table.state import check_alike
from multisched.values import shown


def convert(
    output: B,
    sample: B,
    timesteps: Any,
    recipe: Recipe,
    to: PredictionType | Prediction,
    given: PredictionType | Prediction | None = None,
) -> B:
    """A model's output as another prediction type.

        output = a * x0 + b * noise,   sample = alpha * x0 + sigma * noise,   d = alpha * b - sigma * a
        c * x0 + e * noise = ((c * b - e * a) * sample + (alpha * e - sigma * c) * output) / d

    Args:
        output: what the model returned, shaped as the sample.
        sample: on the path, as `recipe.add_noise` makes it (samples, ...). Recipes that scale it for the model, such as
            `Euler`, take it before that.
        timesteps: as of `recipe.add_noise`.
        recipe: says the levels and, without `given`, what the model predicts.
        to: the prediction type to convert to, by name or as a value.
        given: the prediction type of the output, where it is not the recipe's.

    Returns:
        Shaped and typed as the sample.

    Raises:
        ScheduleError: if the output does not say what is asked for at a timestep of the host, as the noise does not say
            x0 at alpha = 0; or as `recipe.add_noise`.

    Example:
        >>> recipe = ms.FlowMatchEuler()
        >>> x0, noise = np.ones((1, 2)), np.full((1, 2), 3.0)
        >>> v = recipe.target(x0, noise, 500.0)
        >>> ms.training.convert(v, recipe.add_noise(x0, noise, 500.0), 500.0, recipe, to="epsilon")
        array([[3., 3.]])
    """
    if not isinstance(recipe, Recipe):
        raise ScheduleError(f"recipe must be a recipe, such as ms.FlowMatchEuler(); given {shown(recipe)}.")
    check_alike(sample, output, "the model's output", "sample")
    path, _, own, *_ = made(recipe)
    source, wanted = named(given, own), named(to, own)

    def weights(alpha: Any, sigma: Any) -> tuple[Any, Any]:
        scale = path.scale(alpha, sigma)
        alpha, sigma = scale * alpha, scale * sigma
        (a, b), (c, e) = source.weights(alpha, sigma), wanted.weights(alpha, sigma)
        d = alpha * b - sigma * a
        return (c * b - e * a) * scale / d, (alpha * e - sigma * c) / d

    if source == wanted:
        return mixed(recipe, sample, output, timesteps, lambda alpha, sigma: (0.0 * sigma, 0.0 * sigma + 1.0))
    return mixed(recipe, sample, output, timesteps, weights)


def named(prediction: PredictionType | Prediction | None, own: Prediction) -> Prediction:
    """A prediction from its name, which takes the data deviation of a recipe's own; that one where there is none."""
    if prediction is None or isinstance(prediction, Prediction):
        return own if prediction is None else prediction
    return Prediction(prediction, own.sigma_data)
