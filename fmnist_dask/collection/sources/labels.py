"""What raw labels mean: numbers, words, nothing; and which are no labels at all."""

from __future__ import annotations

import collections
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fmnist_dask.collection.sources.canvas import UnreadableError
from fmnist_dask.collection.sources.files import writable
from fmnist_dask.errors import SourceError, UsageError

#: Classes that int16 can number.
MOST_CLASSES = 32_767
#: Labels that are no numbers, as a share of all, are taken for damage rather than for words.
STRAY_SHARE = 0.05
#: Class numbers with more gaps than this are names rather than positions.
SPARSE = 4
FEW_CLASSES = 64
#: Different labels counted before they are taken for numbers of each image's own.
MOST_DISTINCT = 4 * MOST_CLASSES
#: Labels are cut off there.
MOST_LABEL_CHARACTERS = 1000
#: Digits of the largest class number; Python refuses to convert numbers of thousands of digits.
MOST_DIGITS = 9


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
        elif _is_number(text) and int(text) < len(self.class_names):
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
    counts: collections.Counter[str] = collections.Counter()
    for label in labels:
        count(counts, plain_text(label))
    return table_of_counts(counts, given)


def count(counts: collections.Counter[str], text: str, times: int = 1) -> None:
    """Note a label; see :func:`plain_text` for its form.

    Raises
    ------
    SourceError
        There are so many different ones that they are no classes, and would fill the memory.
    """
    counts[text] += times
    if len(counts) > MOST_DISTINCT:
        raise SourceError(
            f"more than {MOST_DISTINCT:,} different labels; the limit is {MOST_CLASSES:,} classes",
            "is the label a number of each image's own? Another column may be named by label_column",
        )


def table_of_counts(counts: collections.Counter[str], given: tuple[str, ...] = ()) -> LabelTable:
    """The same from how often each label occurs; see :func:`plain_text` for their form."""
    known = {text: times for text, times in counts.items() if text not in ("", "-1")}
    numbers = sorted(int(text) for text in known if _is_number(text))
    total = sum(known.values())
    strays = sum(times for text, times in known.items() if not _is_number(text))
    if numbers and strays <= STRAY_SHARE * total:
        dense = numbers[-1] < max(SPARSE * len(numbers), FEW_CLASSES)
        if given or dense:
            names = given or tuple(str(number) for number in range(numbers[-1] + 1))
            return LabelTable(checked_names(names))
        return LabelTable(
            checked_names(tuple(map(str, numbers))), {str(number): at for at, number in enumerate(numbers)}
        )
    words = tuple(sorted(known))
    if given and not set(words) <= set(given):
        missing = sorted(set(words) - set(given))
        raise UsageError(f"class_names lacks {missing[0]!r}, a label that occurs {known[missing[0]]:,} times")
    names = given or words
    return LabelTable(checked_names(names), {name: at for at, name in enumerate(names)})


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= MOST_DIGITS


def checked_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of classes, unless they are more than there can be."""
    if len(names) > MOST_CLASSES:
        raise SourceError(
            f"{len(names):,} classes; the limit is {MOST_CLASSES:,}", "is the label a number of each image's own?"
        )
    return names


def plain_text(raw: Any) -> str:
    """A label as text: whole numbers without a fraction, an empty text for what is missing."""
    if raw is None:
        return ""
    if isinstance(raw, (dict, list)):
        return f"({type(raw).__name__})"
    if isinstance(raw, bytes):
        raw = raw.decode("utf-8", "replace")
    if isinstance(raw, str):
        text = writable(raw[: 2 * MOST_LABEL_CHARACTERS]).strip().strip('"')[:MOST_LABEL_CHARACTERS]
        if text.isdecimal():
            return str(int(text)) if len(text) <= MOST_DIGITS else text
        if "_" in text:
            return text  # to Python 1_0 is a number
        raw = text
    try:
        number = float(raw)
    except (TypeError, ValueError, OverflowError):  # a date; a word; a whole number beyond what floats reach
        return str(raw)[:MOST_LABEL_CHARACTERS]
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
