"""Numbers as people read them, and the sentence that says what a result rests on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_BYTE_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def count(number: int, noun: str = "", plural: str | None = None) -> str:
    """A count with thousands set off, and its noun in the right number.

    Examples
    --------
    >>> count(60000, "image"), count(1, "image"), count(2, "class", "classes")
    ('60,000 images', '1 image', '2 classes')
    """
    if not noun:
        return f"{number:,}"
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def share(part: float, whole: float) -> str:
    """A part in percent; small parts are not rounded to nothing.

    Examples
    --------
    >>> share(1, 4), share(0, 4), share(1, 100000), share(1, 0)
    ('25.0 %', '0 %', '< 0.1 %', '–')
    """
    if not whole:
        return "–"
    percent = 100 * part / whole
    if percent == 0:
        return "0 %"
    return "< 0.1 %" if percent < 0.1 else f"{percent:.1f} %"


def size(number: float | None) -> str:
    """Bytes in decimal units.

    Examples
    --------
    >>> size(54_880_000), size(999), size(None)
    ('54.9 MB', '999 bytes', '–')
    """
    if number is None:
        return "–"
    value = float(number)
    for unit in _BYTE_UNITS[:-1]:
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} {_BYTE_UNITS[-1]}"


def duration(seconds: float | None) -> str:
    """A time span.

    Examples
    --------
    >>> duration(0.42), duration(75), duration(7260), duration(None)
    ('0.42 s', '1 min 15 s', '2 h 1 min', '–')
    """
    if seconds is None:
        return "–"
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def listing(words: Iterable[str], last: str = "and") -> str:
    """Words in a row.

    Examples
    --------
    >>> listing(["train", "valid", "test"])
    'train, valid and test'
    """
    items = list(words)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}" if items else ""


def short(text: str, length: int = 18) -> str:
    """A text cut to a length, with an ellipsis where something is missing."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def shape(image_shape: Sequence[int]) -> str:
    """The shape (y, x[, channel]) of an image.

    Examples
    --------
    >>> shape((28, 28)), shape((48, 64, 3))
    ('28 × 28 pixels, grey', '64 × 48 pixels, colour')
    """
    if len(image_shape) < 2:
        return "–"
    height, width = image_shape[:2]
    channels = image_shape[2] if len(image_shape) > 2 else 1
    kind = {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
    return f"{width} × {height} pixels, {kind}"


def basis(
    n_used: int, n_total: int, split: str = "all", exact: bool = True, note: str = "", inexact: str = "sampled"
) -> str:
    """What a figure rests on.

    Parameters
    ----------
    inexact
        What it is if it is not exact.

    Examples
    --------
    >>> basis(60000, 70000, "train")
    'exact, 60,000 of 70,000 images (split train)'
    >>> basis(10, 10, exact=False)
    'sampled, 10 of 10 images'
    >>> basis(10, 10, note="to 1/4,096 of the range")
    'exact to 1/4,096 of the range, 10 of 10 images'
    """
    word = "exact" if exact else inexact
    where = "" if split == "all" else f" (split {split})"
    return f"{word}{' ' + note if note else ''}, {n_used:,} of {count(n_total, 'image')}{where}"
