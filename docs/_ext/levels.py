"""The directive `room`, which documents public names, with the facts and a picture of a recipe."""

from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Room(SphinxDirective):
    """Names of one module, each with all that its docstring says: `.. room:: multisched.paths`, and the names below."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        place = self.arguments[0]
        names = " ".join(self.content).split()
        text = [".. autosummary::", "", *(f"   ~{place}.{name}" for name in names), ""]
        for name in names:
            text += [f".. auto{self._kind(place, name)}:: {place}.{name}", "   :members:", ""]
        where = self.get_source_info()[0]
        return self.parse_text_to_nodes("\n".join(text)) if where else []

    def _kind(self, place: str, name: str) -> str:
        from importlib import import_module

        found = getattr(import_module(place), name)
        if isinstance(found, type):
            return "exception" if issubclass(found, Exception) else "class"
        return "function" if callable(found) else "data"


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("room", Room)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
