"""What raw labels mean: numbers, words, nothing; and which are no labels at all."""

from __future__ import annotations

import collections
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fmnist_dask.collection.sources.decoding import UnreadableError
from fmnist_dask.errors import SourceError, UsageError

#: Classes that int16 can number.
MOST_CLASSES = 32_767
#: Labels that are no numbers, as a share of all, are taken for damage rather than for words.
STRAY_SHARE = 0.05
#: Class numbers with more gaps than this are names rather than positions.
SPARSE = 4
FEW_CLASSES = 64


@dataclass(frozen=True)
class LabelTable:
    """From raw labels to class indices.

    Attributes
    ----------
    class_names
        Names of the classes 0, 1, …
    positions
        Class index of each raw label, as text; ``None`` where labels are the indices.
    """

    class_names: tuple[str, ...]
    positions: dict[str, int] | None = None

    def index(self, raw: Any) -> int:
        """Class index; −1 for a label that is missing (``None``, NaN, empty or −1).

        Raises
        ------
        UnreadableError
            It is no label of this table.
        """
        text = plain_text(raw)
        if text in ("", "-1"):
            return -1
        if self.positions is not None:
            if text in self.positions:
                return self.positions[text]
        elif text.isdecimal() and int(text) < len(self.class_names):
            return int(text)
        raise UnreadableError(f"its label {str(raw)[:40]!r} is none of the {len(self.class_names):,} classes")


def label_table(labels: Iterable[Any], given: tuple[str, ...] = ()) -> LabelTable:
    """The table for labels of which all, or all distinct ones with repetition, are given.

    Whole numbers are class indices, words are names in alphabetical order. Labels that are neither whole numbers nor
    missing, among very many that are, do not count: items that bear them are quarantined.

    Parameters
    ----------
    given
        Names of the classes, where they are known.

    Raises
    ------
    SourceError
        More classes than there can be.
    """
    return table_of_counts(collections.Counter(plain_text(label) for label in labels), given)


def table_of_counts(counts: collections.Counter[str], given: tuple[str, ...] = ()) -> LabelTable:
    """The same from how often each label occurs; see :func:`plain_text` for their form."""
    known = {text: count for text, count in counts.items() if text not in ("", "-1")}
    numbers = sorted(int(text) for text in known if text.isdecimal() and len(text) < 10)
    total = sum(known.values())
    strays = sum(count for text, count in known.items() if not (text.isdecimal() and len(text) < 10))
    if numbers and strays <= STRAY_SHARE * total:
        dense = numbers[-1] < max(SPARSE * len(numbers), FEW_CLASSES)
        if given or dense:
            names = given or tuple(str(number) for number in range(numbers[-1] + 1))
            return LabelTable(_checked(names))
        return LabelTable(_checked(tuple(map(str, numbers))), {str(number): at for at, number in enumerate(numbers)})
    words = tuple(sorted(known))
    if given and not set(words) <= set(given):
        missing = sorted(set(words) - set(given))
        raise UsageError(f"class_names lacks {missing[0]!r}, a label that occurs {known[missing[0]]:,} times")
    names = given or words
    return LabelTable(_checked(names), {name: at for at, name in enumerate(names)})


def _checked(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(names) > MOST_CLASSES:
        raise SourceError(
            f"{len(names):,} classes; the limit is {MOST_CLASSES:,}", "is the label a number of each image's own?"
        )
    return names


def plain_text(raw: Any) -> str:
    """A label as text: whole numbers without a fraction, an empty text for what is missing."""
    if raw is None:
        return ""
    if isinstance(raw, bytes):
        raw = raw.decode("utf-8", "replace")
    if isinstance(raw, str):
        raw = raw.strip().strip('"')
        if raw.isdecimal():
            return str(int(raw)) if len(raw) < 10 else raw
        try:
            number = float(raw)
        except ValueError:
            return str(raw)
    else:
        number = float(raw)
    if math.isnan(number):
        return ""
    return str(int(number)) if math.isfinite(number) and number == int(number) else str(raw)


def class_names_option(value: Any) -> tuple[str, ...]:
    """``class_names``: a list, words with commas between them, or the name of a known data set.

    Raises
    ------
    UsageError
        Anything else, or a name twice.
    """
    from fmnist_dask.collection.sources.named import DATA_SETS

    if isinstance(value, str) and value in DATA_SETS:
        return DATA_SETS[value].class_names
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or not parts:
        raise UsageError(
            f"source option class_names={value!r}", "give a list of names, or the name of a known data set"
        )
    names = tuple(str(part).strip() for part in parts)
    if len(set(names)) < len(names) or "" in names:
        raise UsageError(f"source option class_names={value!r} has an empty name, or one twice")
    return names
