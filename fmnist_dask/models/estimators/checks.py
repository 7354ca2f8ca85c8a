"""Parameters of estimators, checked when they fit, in scikit-learn's words."""

from __future__ import annotations

import math
import numbers
from typing import Any

from fmnist_dask.errors import UsageError

#: Stands for the estimator's own attribute.
_ATTRIBUTE = object()


def whole(estimator: Any, name: str, least: int) -> int:
    """A parameter that must be a whole number of at least ``least``.

    Raises
    ------
    UsageError
        It is not.
    """
    value = getattr(estimator, name)
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise wrong(estimator, name, f"an int in the range [{least}, inf)")
    return int(value)


def number(estimator: Any, name: str) -> float:
    """A parameter that must be a finite number, not negative.

    Raises
    ------
    UsageError
        It is not.
    """
    value = getattr(estimator, name)
    good = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not good or not math.isfinite(value) or value < 0:
        raise wrong(estimator, name, "a float in the range [0.0, inf)")
    return float(value)


def one_of(estimator: Any, name: str, known: tuple[str, ...], value: Any = _ATTRIBUTE) -> str:
    """A parameter that must be one of some words.

    Parameters
    ----------
    value
        Of the parameter, where the estimator has it under another name.

    Raises
    ------
    UsageError
        It is not.
    """
    value = getattr(estimator, name) if value is _ATTRIBUTE else value
    if not isinstance(value, str) or value not in known:
        raise wrong(estimator, name, f"a str among {set(known)}", value)
    return value


def components(estimator: Any) -> int | float | None:
    """``n_components``: ``None``, a whole number, or a share of the variance.

    Raises
    ------
    UsageError
        Anything else.
    """
    value = estimator.n_components
    if value is None:
        return None
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, numbers.Real) and not isinstance(value, bool) and 0 < float(value) < 1:
        return float(value)
    raise wrong(estimator, "n_components", "an int in the range [1, inf), a float in the range (0.0, 1.0) or None")


def wrong(estimator: Any, name: str, wanted: str, value: Any = _ATTRIBUTE) -> UsageError:
    """The error for a parameter that is not what is wanted."""
    value = getattr(estimator, name) if value is _ATTRIBUTE else value
    return UsageError(f"The {name!r} parameter of {type(estimator).__name__} must be {wanted}. Got {value!r} instead.")
