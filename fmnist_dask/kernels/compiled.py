"""Kernels compiled by numba. Imported where they run only: numba costs a process 0.7 s and 60 MB."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def count_levels(pixels, rows, counts):  # pragma: no cover - compiled
    """Add each pixel of the given rows to ``counts[pixel, level]``.

    Parameters
    ----------
    pixels : uint8 array, shape (n, n_pixels)
    rows : int64 array, shape (m,)
        Rows to count.
    counts : uint32 array, shape (n_pixels, 256)
        Changed in place.
    """
    # Rows of one class are much alike: four at a time, most pixels agree (background, saturated cloth) and cost one
    # update instead of four. That is 1.5 times as fast as row by row; tiles of pixels were up to twice as slow, since
    # a counter hit again too soon stalls the store buffer.
    one, four = np.uint32(1), np.uint32(4)
    whole = rows.shape[0] // 4 * 4
    for at in range(0, whole, 4):
        first, second, third, fourth = rows[at], rows[at + 1], rows[at + 2], rows[at + 3]
        for pixel in range(pixels.shape[1]):
            a, b = pixels[first, pixel], pixels[second, pixel]
            c, d = pixels[third, pixel], pixels[fourth, pixel]
            if ((a ^ b) | (c ^ d) | (a ^ c)) == 0:
                counts[pixel, a] += four
            else:
                counts[pixel, a] += one
                counts[pixel, b] += one
                counts[pixel, c] += one
                counts[pixel, d] += one
    for at in range(whole, rows.shape[0]):
        for pixel in range(pixels.shape[1]):
            counts[pixel, pixels[rows[at], pixel]] += one


@numba.njit(nogil=True, cache=True)
def _spread(squares, total, count):  # pragma: no cover - compiled
    """``squares · count − total²``: the variance of ``count`` integers of up to ±1020, times their number squared."""
    if count <= 1 << 21:
        return float(squares * count - total * total)  # exact: below 2^63
    return max(float(squares) - float(total) * (float(total) / count), 0.0) * count


@numba.njit(nogil=True, cache=True)
def measure_images(gray, out):  # pragma: no cover - compiled
    """Measure each grey image; see :func:`fmnist_dask.kernels.properties.image_properties`.

    Parameters
    ----------
    gray : uint8 array, shape (rows, y, x)
    out : float32 array, shape (rows, 5)
        Filled in the order of ``PROPERTIES``.
    """
    rows, height, width = gray.shape
    size = height * width
    inner = max((height - 2) * (width - 2), 0)
    levels = np.empty(256, np.int64)
    for row in range(rows):
        levels[:] = 0
        for y in range(height):
            for x in range(width):
                levels[gray[row, y, x]] += 1
        laplacian_sum = np.int64(0)
        laplacian_squares = np.int64(0)
        for y in range(1, height - 1):
            for x in range(1, width - 1):
                value = (
                    np.int64(gray[row, y - 1, x])
                    + np.int64(gray[row, y + 1, x])
                    + np.int64(gray[row, y, x - 1])
                    + np.int64(gray[row, y, x + 1])
                    - 4 * np.int64(gray[row, y, x])
                )
                laplacian_sum += value
                laplacian_squares += value * value
        total = 0
        squares = 0
        most = 0
        distinct = 0
        for level in range(256):
            count = levels[level]
            total += count * level
            squares += count * level * level
            most = max(most, count)
            distinct += count > 0
        out[row, 0] = total / (255.0 * size)
        out[row, 1] = np.sqrt(_spread(squares, total, size)) / (255.0 * size)
        out[row, 2] = most / size
        out[row, 3] = np.sqrt(_spread(laplacian_squares, laplacian_sum, inner)) / (255.0 * max(inner, 1))
        out[row, 4] = distinct


@numba.njit(nogil=True, cache=True)
def add_moments(pixels, sums, squares):  # pragma: no cover - compiled
    """Add each column's sum and sum of squares.

    Parameters
    ----------
    pixels : uint8 array, shape (n, d)
        At most 65,536 rows: 32-bit sums of squares hold no more.
    sums, squares : uint32 arrays, shape (d,)
        Changed in place.
    """
    for row in range(pixels.shape[0]):
        for at in range(pixels.shape[1]):
            value = np.uint32(pixels[row, at])
            sums[at] += value
            squares[at] += value * value


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def row_norms(values, out):  # pragma: no cover - compiled
    """Euclidean norm of each row; bounds rest on it, so that the order of summation is free."""
    for row in range(values.shape[0]):
        total = np.float32(0)
        for at in range(values.shape[1]):
            total += values[row, at] * values[row, at]
        out[row] = np.sqrt(total)


# Where scores are no numbers, all of them are looked at again: what these make of them does not matter.
NUMBERS = {"nnan", "nsz", "reassoc"}


@numba.njit(nogil=True, cache=True, fastmath=NUMBERS)
def least_score(products, halves):  # pragma: no cover - compiled
    """The least of ``halves - products``."""
    least = np.inf
    for at in range(products.shape[0]):
        score = halves[at] - np.float64(products[at])
        least = score if score < least else least
    return least


@numba.njit(nogil=True, cache=True, fastmath=NUMBERS)
def scores_within(products, halves, limit):  # pragma: no cover - compiled
    """How many of ``halves - products`` are not above the limit."""
    count = 0
    for at in range(products.shape[0]):
        count += 1 if halves[at] - np.float64(products[at]) <= limit else 0
    return count


@numba.njit(nogil=True, cache=True)
def choose_nearest(products, halves, norms, lengths, starts, gamma, tiny, labels, doubts, limits):  # pragma: no cover
    """Nearest centre by rounded scores; the choices that rounding may have decided are listed.

    Parameters
    ----------
    products : float32 array, shape (m, k)
        Rounded x · c.
    halves : float64 array, shape (k,)
        Half the squared length of each centre.
    norms : float32 array, shape (m,)
        Length of each row.
    lengths : float64 array, shape (k,)
        Length of each centre.
    starts : int64 array, shape (r + 1,)
        Centres ``starts[i]`` to ``starts[i + 1]`` compete with each other.
    gamma : float
        Bound of the relative error of a product, by the lengths.
    tiny : float
        What a length may lose below float32's range; its square is what a product may.
    labels : int32 array, shape (m, r)
        Filled: position of the nearest centre in its set.
    doubts : int32 array, shape (m * r, 2)
        Filled: (row, set) where another centre may be as near.
    limits : float64 array, shape (m * r,)
        Filled: for each of these, centres whose score is above this are farther for certain.

    Returns
    -------
    int
        Number of doubts.
    """
    longest = np.zeros(starts.shape[0] - 1)
    for group in range(starts.shape[0] - 1):
        for at in range(starts[group], starts[group + 1]):
            longest[group] = max(longest[group], lengths[at])
    count = 0
    for row in range(products.shape[0]):
        for group in range(starts.shape[0] - 1):
            first, last = starts[group], starts[group + 1]
            bound = 2.0 * gamma * (norms[row] + tiny) * (longest[group] + tiny) + tiny * tiny
            own, half = products[row, first:last], halves[first:last]
            best_score = least_score(own, half)
            limit = best_score + bound
            # What may be beyond float32's range is doubtful, too, whatever has become of it.
            if not (norms[row] + 1.0) * longest[group] < 2.0**126:
                limit = np.inf
            elif scores_within(own, half, limit) == 1:
                at = 0
                while at < last - first - 1 and half[at] - np.float64(own[at]) != best_score:
                    at += 1
                labels[row, group] = at
                continue
            if last - first == 1:
                labels[row, group] = 0
                continue
            doubts[count, 0], doubts[count, 1] = row, group
            limits[count] = limit
            count += 1
    return count


@numba.njit(nogil=True, cache=True)
def settle_doubts(  # pragma: no cover - compiled
    features, shift, centres, starts, doubts, labels, products, halves, limits
):
    """Choose again in float64, from differences, for each (row, set) in doubt; ties go to the first centre.

    Only centres whose rounded scores are within the limits are looked at. Scores that are no numbers are.
    """
    for at in range(doubts.shape[0]):
        row, group = doubts[at, 0], doubts[at, 1]
        best, best_distance = 0, np.inf
        for centre in range(starts[group], starts[group + 1]):
            if halves[centre] - np.float64(products[row, centre]) > limits[at]:
                continue
            distance = 0.0
            for feature in range(features.shape[1]):
                difference = (np.float64(features[row, feature]) - shift[feature]) - centres[centre, feature]
                distance += difference * difference
            if distance < best_distance:
                best, best_distance = centre - starts[group], distance
        labels[row, group] = best


@numba.njit(nogil=True, cache=True)
def own_distances(features, shift, centres, labels, out):  # pragma: no cover - compiled
    """Squared distance of each row to its centre, in float64 and in the order of features."""
    for row in range(features.shape[0]):
        centre = labels[row]
        total = 0.0
        for at in range(features.shape[1]):
            difference = (np.float64(features[row, at]) - shift[at]) - centres[centre, at]
            total += difference * difference
        out[row] = total


@numba.njit(nogil=True, cache=True)
def add_pixels(pixels, labels, sums):  # pragma: no cover - compiled
    """Add each row of integers to the sum of its group, once for each set of groups.

    Parameters
    ----------
    pixels : uint8 array, shape (m, d)
    labels : int64 array, shape (m, r)
        Row of ``sums``, for each set.
    sums : uint32 array, shape (k, d)
        Changed in place.
    """
    for row in range(pixels.shape[0]):
        for group in range(labels.shape[1]):
            target = labels[row, group]
            for at in range(pixels.shape[1]):
                sums[target, at] += np.uint32(pixels[row, at])


@numba.njit(nogil=True, cache=True)
def add_scaled(features, shift, weights, scale, labels, sums):  # pragma: no cover - compiled
    """Add weight times shifted features, as multiples of ``1 / scale`` of each feature, to the sum of each row's group.

    Integers add up to the same sum in any order, which floats do not.

    Parameters
    ----------
    features : float array, shape (m, d)
    shift : float64 array, shape (d,)
    weights : float64 array, shape (m,)
    scale : float64 array, shape (d,)
    labels : int64 array, shape (m, r)
    sums : int64 array, shape (k, d)
        Changed in place.
    """
    for row in range(features.shape[0]):
        for group in range(labels.shape[1]):
            target = labels[row, group]
            for at in range(features.shape[1]):
                value = weights[row] * (np.float64(features[row, at]) - shift[at]) * scale[at]
                sums[target, at] += np.int64(np.rint(value))


@numba.njit(nogil=True, cache=True)
def add_scaled_squares(features, shift, weights, scale, squares):  # pragma: no cover - compiled
    """Add weight times the square of each shifted feature; see :func:`add_scaled`.

    Parameters
    ----------
    scale : float64 array, shape (d,)
    squares : int64 array, shape (d,)
        Changed in place.
    """
    for row in range(features.shape[0]):
        for at in range(features.shape[1]):
            difference = np.float64(features[row, at]) - shift[at]
            squares[at] += np.int64(np.rint(weights[row] * difference * difference * scale[at]))
