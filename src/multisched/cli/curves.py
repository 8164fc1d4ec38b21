"""Command lines of several schedulers, each with options of its own: what stands after a name belongs to it, what
stands before the first name to all."""

from collections.abc import Sequence
from typing import NamedTuple

SETTINGS, CONFIG = "--set", "--from-config"


class Curves(NamedTuple):
    """Which options there are.

    Args:
        own: of a curve, with one value.
        one: of the figure, with one value.
        many: of the figure, with several numbers.
        usual: the names that are taken where none is given.
    """

    own: tuple[str, ...]
    one: tuple[str, ...]
    many: tuple[str, ...] = ()
    usual: tuple[str, ...] = ()

    def split(self, arguments: Sequence[str]) -> tuple[list[list[str]], list[str]]:
        """The arguments of each curve, those of all included, and those of the figure.

        Example:
            >>> from multisched.cli.curves import Curves
            >>> Curves(("--spacing",), ("--out",)).split("--set a=1 x --spacing karras y --out f.svg".split())
            ([['--set', 'a=1', 'x', '--spacing', 'karras'], ['--set', 'a=1', 'y']], ['--out', 'f.svg'])
        """
        everyone, curves, figure = list[str](), list[list[str]](), list[str]()
        left = list(arguments)
        while left:
            word = left.pop(0)
            given, equals, _ = word.partition("=")
            taken = [word]
            if not word.startswith("-"):
                curves.append(taken)
                continue
            while not equals and left and self._takes(given, len(taken) - 1, left[0]):
                taken.append(left.pop(0))
            if given == CONFIG:
                curves.append(taken)
            elif given == SETTINGS or given in self.own:
                (curves[-1] if curves else everyone).extend(taken)
            else:
                figure += taken
        return [everyone + curve for curve in curves or ([name] for name in self.usual)], figure

    def _takes(self, option: str, already: int, word: str) -> bool:
        """Whether an option takes another word as its value."""
        if option == SETTINGS:
            return "=" in word and not word.startswith("--")
        if option in self.many:
            return word.lstrip("-").isdigit()
        return not already and option in (*self.own, *self.one, CONFIG)
