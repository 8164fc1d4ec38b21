"""Names in code are links: `DDIM` and `Recipe.plan` in a docstring, `ms.sample` in a page."""

import re
from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

import multisched

NAME = re.compile(r"(?:ms\.)?([A-Za-z_][\w.]*)(?:\(\))?")
logger = logging.getLogger(__name__)


class Linked(SphinxPostTransform):
    """Turns code that is a documented name into a link to it."""

    default_priority = 5

    def run(self, **kwargs: Any) -> None:
        for node in list(self.document.findall(nodes.literal)):
            found = NAME.fullmatch(node.astext())
            inside = (nodes.reference, addnodes.pending_xref, nodes.title)
            if found is None or any(isinstance(one, inside) for one in _ancestors(node)):
                continue
            target = self._target(found[1], _scope(node))
            if target is not None:
                node.replace_self(self._link(target, node))
            elif self.env.docname != "changelog" and node.astext()[:3] in ("ms.", "mul") and not _exists(found[1]):
                logger.warning("no public name: %s", node.astext(), location=node, type="links")

    def _target(self, name: str, scope: str) -> str | None:
        """The documented object that a name means where it stands: in the class, its room, the package, any room."""
        known = self.env.domains.python_domain.objects
        name = name.removeprefix("multisched.")
        places = [scope.rsplit(".", cut)[0] for cut in range(scope.count(".") + 1)] if scope else []
        for place in [*places, "multisched"]:
            if (full := f"{place}.{name}") in known and full != scope:
                return full
        if name == name.lower() and "." not in name:
            return None  # an option or an argument rather than a name of some room
        others = [one for one in known if one.endswith(f".{name}") and not known[one].aliased]
        return others[0] if len(others) == 1 and others[0] != scope else None

    def _link(self, target: str, node: nodes.literal) -> nodes.Node:
        entry = self.env.domains.python_domain.objects[target]
        literal = nodes.literal("", node.astext(), classes=["xref", "py", "py-obj"])
        here, there = self.env.docname, entry.docname
        return make_refnode(self.app.builder, here, there, entry.node_id, literal, target)


def _ancestors(node: nodes.Node) -> Any:
    while (node := node.parent) is not None:
        yield node


def _scope(node: nodes.Node) -> str:
    """The full name of the object whose docstring this is in."""
    for one in _ancestors(node):
        if isinstance(one, addnodes.desc):
            signature = one[0]
            if "fullname" in signature and signature.get("module"):
                return f"{signature['module']}.{signature['fullname']}"
    return ""


def _exists(name: str) -> bool:
    """Whether the package has such a name, or cannot say for want of a framework."""
    place, parts = "multisched", name.removeprefix("multisched.").split(".")
    try:
        found: Any = multisched
        for part in parts:
            place = f"{place}.{part}"
            found = getattr(found, part) if hasattr(found, part) else import_module(place)
    except ImportError as error:
        return not (error.name or "").startswith("multisched")
    return True


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect it."""
    app.add_post_transform(Linked)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
