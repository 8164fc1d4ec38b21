"""Names in code are links: `DDIM` and `Recipe.plan` in a docstring, `ms.sample` in a page."""

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

import multisched

NAME = re.compile(r"(ms\.|multisched\.)?([A-Za-z_][\w.]*)(?:\(\))?")
OLD = ("changelog",)  # pages that name what is gone
logger = logging.getLogger(__name__)


class Linked(SphinxPostTransform):
    """Turns code that is a documented name into a link to it; warns of `ms.` and a name that there is not."""

    default_priority = 5

    def run(self, **kwargs: Any) -> None:
        for node in list(self.document.findall(nodes.literal)):
            found = NAME.fullmatch(node.astext())
            inside = (nodes.reference, addnodes.pending_xref, nodes.title)
            if found is None or any(isinstance(one, inside) for one in _ancestors(node)):
                continue
            if (target := self._target(found[2], bool(found[1]), node)) is not None:
                node.replace_self(self._link(target, node))
            elif self.env.docname in OLD:
                continue
            elif (found[1] and not _exists(found[2])) or (_described(node) and _mistyped(found[2])):
                logger.warning("no such name: %s", node.astext(), location=node, type="links")

    def _target(self, name: str, whole: bool, node: nodes.literal) -> str | None:
        """The documented object that a name means where it stands: in the class, its room, the package, any room."""
        known = self.env.domains.python_domain.objects
        scopes = [] if whole else [one for one in _described(node) if one]
        scope = scopes[0] if scopes else ""
        places = [scope.rsplit(".", cut)[0] for cut in range(scope.count("."))]
        word = not whole and name.islower() and "." not in name
        if word and name in _arguments(node):
            return None
        for place in dict.fromkeys([*places, *(["multisched"] if not word or "_" in name else [])]):
            if (full := f"{place}.{name}") in known and full != scope and (known[full].objtype != "module" or not word):
                return full
        others = [] if word or whole else [one for one in known if one.endswith(f".{name}") and not known[one].aliased]
        if len(others) == 1 and others[0] != scope:
            return others[0]
        of, _, field = name.rpartition(".")
        return self._target(of, whole, node) if of and of.rpartition(".")[2][0].isupper() and field.islower() else None

    def _link(self, target: str, node: nodes.literal) -> nodes.Node:
        entry = self.env.domains.python_domain.objects[target]
        literal = nodes.literal("", node.astext(), classes=["xref", "py", "py-obj"])
        return make_refnode(self.app.builder, self.env.docname, entry.docname, entry.node_id, literal, target)


def _ancestors(node: nodes.Node) -> Iterator[nodes.Node]:
    while (node := node.parent) is not None:
        yield node


def _described(node: nodes.Node) -> list[str]:
    """The full names of the objects whose docstring this is in, the innermost first."""
    heads = [one[0] for one in _ancestors(node) if isinstance(one, addnodes.desc)]
    return [f"{head['module']}.{head['fullname']}" for head in heads if head.get("module") and "fullname" in head]


def _arguments(node: nodes.Node) -> set[str]:
    """The arguments of those objects."""
    heads = [one[0] for one in _ancestors(node) if isinstance(one, addnodes.desc)]
    given = [one for head in heads for one in head.findall(addnodes.desc_parameter)]
    return {name.astext() for one in given for name in list(one.findall(addnodes.desc_sig_name))[:1]}


def _exists(name: str) -> bool:
    """Whether the package has such a name, or cannot say for want of a framework."""
    place = "multisched"
    try:
        found: Any = multisched
        for part in name.split("."):
            place = f"{place}.{part}"
            found = getattr(found, part) if hasattr(found, part) else import_module(place)
    except ImportError as error:
        return not (error.name or "").startswith("multisched")
    return True


def _mistyped(name: str) -> bool:
    """Whether a name is written as those of classes are, and no module of the package has it."""
    first = next((part for part in name.split(".") if part[:1].isupper()), "")
    if not re.fullmatch(r"[A-Z]+[a-z]\w*", first):
        return False
    return not any(hasattr(one, first) for place, one in list(sys.modules.items()) if place.startswith("multisched"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect it."""
    app.add_post_transform(Linked)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
