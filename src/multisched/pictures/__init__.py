"""Pictures of schedulers and of samples, for notebooks, pages and the command.

    figure = ms.pictures.plot([ms.DDIM().plan(20), ms.FlowMatchEuler().plan(20)])   # levels and timesteps
    figure = ms.pictures.compare({"euler": (calls, errors)})                         # error over calls, log-log
    image = ms.pictures.grid(images, columns=4)                                      # samples

A figure is Matplotlib's `Figure`, which a notebook shows and `savefig` writes as svg, pdf or png; an image is Pillow's.
Both packages come with the extra "cli" and are imported where they are used. No global setting of Matplotlib is
changed.
"""

from typing import TYPE_CHECKING

from multisched.lazy import attached

if TYPE_CHECKING:
    from multisched.pictures.figures import compare as compare, plot as plot
    from multisched.pictures.files import save as save
    from multisched.pictures.images import folder as folder, grid as grid, trajectory as trajectory
else:
    __getattr__, __dir__, __all__ = attached(
        __name__, {"figures": "compare plot", "files": "save", "images": "folder grid trajectory"}
    )
