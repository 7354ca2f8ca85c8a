"""A system for each row, of the values that it lacks, compiled by numba around SciPy's LAPACK.

Imported where it runs only: numba costs a process 0.7 s and 60 MB. Addresses of LAPACK's functions are those of this
process, so that what is compiled cannot be kept: another second.
"""

from __future__ import annotations

import ctypes

import numba
import numpy as np
from numba.extending import get_cython_function_address

_POINTER = ctypes.c_void_p


def _lapack(name: str, arguments: int):  # type: ignore[no-untyped-def]
    address = get_cython_function_address("scipy.linalg.cython_lapack", name)
    return ctypes.CFUNCTYPE(None, *([_POINTER] * arguments))(address)


_potrf, _potrs, _potri = _lapack("spotrf", 5), _lapack("spotrs", 8), _lapack("spotri", 5)
_trtrs = _lapack("strtrs", 10)


@numba.njit(nogil=True)
def solve_rows(  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    precision, right, missing, found, log_determinant, weight, covariance, variance, check, lone
):
    """For each row solve ``P_mm d = −r_m`` over the values m that it lacks.

    Parameters
    ----------
    precision : float32 array, shape (d, d)
        P, symmetric.
    right : float32 array, shape (n, d)
        r, which is ``P x`` of the row with zeros where it lacks values.
    missing : bool array, shape (n, d)
    found : float32 array, shape (n, d)
        Gets d where values are missing.
    log_determinant : float64 array, shape (n,)
        Gets that of ``P_mm``; NaN where the system is not positive definite.
    weight : float32 array, shape (n,)
        Rows of a weight above zero add so many times ``P_mm⁻¹`` to ``covariance``.
    covariance : float32 array, shape (d, d), or of no rows
        Lower triangle.
    variance : float32 array, shape (n, d), or of no rows
        Gets the diagonal of ``P_mm⁻¹``.
    check : int64 array, shape (n, c)
        Values that a row has, or −1.
    lone : float32 array, shape (n, c)
        Gets ``P_ii − P_im P_mm⁻¹ P_mi`` for these: the precision of value i given all others that the row has.
    """
    n, d = right.shape
    system = np.empty(d * d, np.float32)
    vector = np.empty(d, np.float32)
    index = np.empty(d, np.int64)
    lower, no, unit = np.array([85], np.uint8), np.array([84], np.uint8), np.array([78], np.uint8)
    size, one, info = np.empty(1, np.int32), np.ones(1, np.int32), np.zeros(1, np.int32)
    for row in range(n):
        k = 0
        for at in range(d):
            if missing[row, at]:
                index[k] = at
                k += 1
        log_determinant[row] = 0.0
        if k:
            size[0] = k
            for a in range(k):
                for b in range(a + 1):
                    system[a * k + b] = precision[index[a], index[b]]
                vector[a] = -right[row, index[a]]
            # Rows of a lower triangle are columns of an upper one.
            _potrf(lower.ctypes, size.ctypes, system.ctypes, size.ctypes, info.ctypes)
            if info[0] != 0:
                log_determinant[row] = np.nan
                for a in range(k):
                    found[row, index[a]] = 0.0
                for c in range(check.shape[1]):
                    if check[row, c] >= 0:
                        lone[row, c] = precision[check[row, c], check[row, c]]
                continue
            total = 0.0
            for a in range(k):
                total += np.log(system[a * k + a])
            log_determinant[row] = 2 * total
            _potrs(
                lower.ctypes, size.ctypes, one.ctypes, system.ctypes, size.ctypes, vector.ctypes, size.ctypes,
                info.ctypes,
            )  # fmt: skip
            for a in range(k):
                found[row, index[a]] = vector[a]
        for c in range(check.shape[1]):
            at = check[row, c]
            if at < 0:
                continue
            left = precision[at, at]
            if k:
                for a in range(k):
                    vector[a] = precision[at, index[a]]
                _trtrs(
                    lower.ctypes, no.ctypes, unit.ctypes, size.ctypes, one.ctypes, system.ctypes, size.ctypes,
                    vector.ctypes, size.ctypes, info.ctypes,
                )  # fmt: skip
                for a in range(k):
                    left -= vector[a] * vector[a]
            lone[row, c] = left
        adds = covariance.shape[0] > 0 and weight[row] > 0
        if k and (adds or variance.shape[0] > 0):
            _potri(lower.ctypes, size.ctypes, system.ctypes, size.ctypes, info.ctypes)
            if variance.shape[0] > 0:
                for a in range(k):
                    variance[row, index[a]] = system[a * k + a]
            if adds:
                times = weight[row]
                for a in range(k):
                    for b in range(a + 1):
                        covariance[index[a], index[b]] += times * system[a * k + b]
