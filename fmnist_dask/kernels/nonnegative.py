"""Non-negative least squares of many rows at once, and of factors given their codes."""

from __future__ import annotations

import numpy as np

from fmnist_dask.typing import AnyArray, FloatArray

#: Most steps, and the change in a step, as a share of the largest code, at which rows are done.
MOST_STEPS, TOLERANCE = 1000, 1e-5
#: Most rounds over all factors, and the share of the largest by which none of them changes in the last.
MOST_ROUNDS, FACTOR_TOLERANCE = 500, 1e-7


def nonnegative_codes(values: AnyArray, observed: AnyArray | None, factors: AnyArray, ridge: float) -> AnyArray:
    """Codes z ≥ 0 of least ``‖x − z W‖² + ridge ‖z‖²`` over what is observed of each row.

    Accelerated projected gradients (Beck and Teboulle 2009), which begin anew where they overshoot (O'Donoghue and
    Candès 2015), on factors of unit length. Of complete rows the steps are in codes alone.

    Parameters
    ----------
    values : float32 array, shape (m, d)
        Zero where they are missing.
    observed : float32 array, shape (m, d)
        1 where a value is there; ``None`` where all are.
    factors : float32 array, shape (k, d)

    Returns
    -------
    float32 array, shape (m, k)
    """
    length = np.sqrt(np.einsum("kd,kd->k", factors, factors))
    used = length > 0
    length = np.where(used, length, np.float32(1))
    unit = factors / length[:, None]
    gram = unit @ unit.T
    pull = (np.float32(ridge) / np.square(length)).astype(np.float32)
    gram_with = gram + np.diag(pull)
    step = np.float32(1 / max(float(np.linalg.eigvalsh(gram_with.astype(np.float64))[-1]), 1e-30))
    right = values @ unit.T
    codes = np.zeros_like(right)
    ahead, momentum = codes.copy(), 1.0
    for _ in range(MOST_STEPS):
        if observed is None:
            gradient = ahead @ gram_with
        else:
            image = ahead @ unit
            image *= observed
            gradient = image @ unit.T
            gradient += pull * ahead
        gradient -= right
        moved = ahead - step * gradient
        np.maximum(moved, 0, out=moved)
        change = moved - codes
        if np.abs(change).max(initial=0) <= TOLERANCE * moved.max(initial=0):
            codes = moved
            break
        if float(np.vdot(ahead - moved, change)) > 0:
            ahead, momentum = moved.copy(), 1.0
        else:
            after = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
            ahead = moved + np.float32((momentum - 1) / after) * change
            momentum = after
        codes = moved
    codes /= length
    codes[:, ~used] = 0
    return codes


def nonnegative_factors(products: FloatArray, cross: FloatArray, start: FloatArray, ridge: float) -> FloatArray:
    """Factors W ≥ 0 of least ``‖M − Z W‖² + ridge ‖W‖²``, one row of W at a time in turn (Cichocki and Phan 2009).

    Parameters
    ----------
    products : float64 array, shape (k, k)
        ``ZᵀZ``.
    cross : float64 array, shape (k, d)
        ``ZᵀM``.
    start : float64 array, shape (k, d)
    """
    factors = start.copy()
    for _ in range(MOST_ROUNDS):
        moved = 0.0
        for row in range(len(factors)):
            weight = products[row, row] + ridge
            if weight <= 0:
                factors[row] = 0.0
                continue
            better = factors[row] + (cross[row] - products[row] @ factors - ridge * factors[row]) / weight
            np.maximum(better, 0.0, out=better)
            moved = max(moved, float(np.abs(better - factors[row]).max()))
            factors[row] = better
        if moved <= FACTOR_TOLERANCE * float(factors.max(initial=0.0)):
            break
    return factors
