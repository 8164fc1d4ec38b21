"""What a benchmark hands over, and how it is written down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Section:
    """One question and its answer.

    Attributes:
        title: of the section.
        data: the figures, for the JSON file.
        text: paragraphs and tables of Markdown.
    """

    title: str
    data: dict[str, Any] = field(default_factory=dict)
    text: list[str] = field(default_factory=list)

    def say(self, *sentences: str) -> None:
        """A paragraph."""
        self.text.append(" ".join(sentences))

    def show(self, corner: str, rows: Mapping[str, Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
        """A table."""
        self.text.append(table(corner, rows, columns))

    def markdown(self) -> str:
        """The section as Markdown."""
        return "\n\n".join([f"## {self.title}", *self.text])


def table(corner: str, rows: Mapping[str, Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """A Markdown table: a row a name, a column a key; what is not there is a dash."""
    names = list(columns or dict.fromkeys(key for row in rows.values() for key in row))
    lines = [f"| {' | '.join([corner, *names])} |", "|---" + "|---:" * len(names) + "|"]
    lines += [f"| {' | '.join([name, *(cell(row.get(key)) for key in names)])} |" for name, row in rows.items()]
    return "\n".join(lines)


def cell(value: Any) -> str:
    """A number to three digits, or a word."""
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def size(count: float) -> str:
    """Bytes in a word."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
