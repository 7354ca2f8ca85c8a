"""Kernels compiled by numba that draw a landscape; see ``landscape``. Imported where they run only.

There is arithmetic and the square root alone, which processors round alike. Along a row of pixels, gradients of the
noise's lattice are blended vertically once for each of its columns, so that a pixel costs one blend an octave.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import math

import numba
import numpy as np

#: Fields of noise, each with a stream of random numbers for each octave.
SKY, FAR, MIDDLE, NEAR, BANK, ROCK, WAVES, MEADOW, GRASS, BLOOM = range(10)
STREAMS = 16
#: Streams of single things: noise of the sensor, flowers by their size, where the sun is.
SENSOR, FLOWERS, SUN = 10 * STREAMS, 10 * STREAMS + 1, 10 * STREAMS + 8
#: Cells a height with which each field begins.
CELLS = (1.6, 2.2, 2.6, 3.0, 2.0, 9.0, 30.0, 7.0, 60.0, 4.0)
#: No octave has more cells a pixel, whatever perspective makes of it: rows of the lattice have their room.
COARSEST = 0.5


@numba.njit(nogil=True, cache=True)
def _mixed(word):  # pragma: no cover - compiled
    """The finalizer of SplitMix64, as in ``counter_random``."""
    word ^= word >> np.uint64(30)
    word *= np.uint64(0xBF58476D1CE4E5B9)
    word ^= word >> np.uint64(27)
    word *= np.uint64(0x94D049BB133111EB)
    word ^= word >> np.uint64(31)
    return word


@numba.njit(nogil=True, cache=True)
def _bits(key, row, column):  # pragma: no cover - compiled
    """A random word for a place."""
    counter = (np.uint64(np.int64(row)) << np.uint64(32)) ^ (np.uint64(np.int64(column)) & np.uint64(0xFFFFFFFF))
    return _mixed(key + counter * np.uint64(0x9E3779B97F4A7C15))


@numba.njit(nogil=True, cache=True)
def _unit(word, shift):  # pragma: no cover - compiled
    """16 of a word's bits as a number from 0 to 1."""
    return np.float64((word >> np.uint64(shift)) & np.uint64(0xFFFF)) / 65535.0


@numba.njit(nogil=True, cache=True)
def _smooth(low, high, value):  # pragma: no cover - compiled
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@numba.njit(nogil=True, cache=True)
def _add_octave(out, scratch, key, first, origin, step, across, amplitude):  # pragma: no cover - compiled
    """Add gradient noise to a row of pixels, which lie at ``origin + step * (first + i)`` of the lattice's row."""
    count = out.shape[0]
    lowest = math.floor(origin + step * first)
    cells = math.floor(origin + step * (first + count - 1)) - lowest + 2
    above = math.floor(across)
    t = across - above
    blend = t * t * t * (t * (t * 6.0 - 15.0) + 10.0)
    for cell in range(cells):
        upper, lower = _bits(key, above, lowest + cell), _bits(key, above + 1, lowest + cell)
        upper_x, upper_y = 2.0 * _unit(upper, 0) - 1.0, 2.0 * _unit(upper, 16) - 1.0
        lower_x, lower_y = 2.0 * _unit(lower, 0) - 1.0, 2.0 * _unit(lower, 16) - 1.0
        scratch[0, cell] = upper_y * t + blend * (lower_y * (t - 1.0) - upper_y * t)
        scratch[1, cell] = upper_x + blend * (lower_x - upper_x)
    # Cell by cell: the loop over the pixels of one looks nothing up, and the processor's vector unit takes it.
    start = 0
    for cell in range(cells - 1):
        base = float(lowest + cell)
        stop = min(max(math.floor((base + 1.0 - origin) / step) - first, start), count)
        while stop > start and origin + step * (first + stop - 1) >= base + 1.0:
            stop -= 1
        while stop < count and origin + step * (first + stop) < base + 1.0:
            stop += 1
        left, left_slope = scratch[0, cell], scratch[1, cell]
        right, right_slope = scratch[0, cell + 1], scratch[1, cell + 1]
        for at in range(start, stop):
            t = origin + step * (first + at) - base
            blend = t * t * t * (t * (t * 6.0 - 15.0) + 10.0)
            value = left + left_slope * t
            out[at] += amplitude * (value + blend * (right + right_slope * (t - 1.0) - value))
        start = stop


@numba.njit(nogil=True, cache=True)
def _noise(out, scratch, keys, octaves, first, step, across, gain):  # pragma: no cover - compiled
    """Octaves of noise along a row of pixels, of mean 0, mostly between -1 and 1."""
    out[:] = 0.0
    amplitude, scale = 1.0, 1.0
    for octave in range(octaves):
        if step * scale > COARSEST:
            break
        # Lattices are moved against each other: their nodes, where noise is 0, would show.
        moved = 17.31 * (octave + 1)
        _add_octave(out, scratch, keys[octave], first, moved, step * scale, across * scale + moved, amplitude)
        amplitude *= gain
        scale *= 2.03
    for at in range(out.shape[0]):
        out[at] *= 1.4


@numba.njit(nogil=True, cache=True)
def _sky(v, u, sun_u, sun_v, cloud, colour):  # pragma: no cover - compiled
    """Colour of the sky at a height ``v`` (0 at the top, 0.55 at the horizon)."""
    low = _smooth(0.0, 0.56, v)
    red, green, blue = 42.0 + 172.0 * low * low, 104.0 + 112.0 * low, 186.0 + 36.0 * low
    warm = _smooth(0.25, 0.56, v)
    red, green, blue = red + 34.0 * warm, green + 2.0 * warm, blue - 44.0 * warm
    du, dv = u - sun_u, v - sun_v
    far = du * du + dv * dv
    glow = 1.0 / (1.0 + 26.0 * far)
    disc = 1.0 / (1.0 + 2500.0 * far)
    red += 92.0 * glow + 190.0 * disc
    green += 44.0 * glow + 150.0 * disc
    blue += 90.0 * disc - 4.0 * glow
    cover = _smooth(0.02, 0.42, cloud)
    if cover > 0.0:
        # Thick ones are grey below, thin ones bright, those near the sun warm.
        thick = _smooth(0.25, 1.05, cloud)
        white = 252.0 - 86.0 * thick + 20.0 * glow
        cover *= 0.92
        red += cover * (white + 6.0 * glow - 4.0 * thick - red)
        green += cover * (white - 4.0 - 8.0 * glow - green)
        blue += cover * (white + 2.0 - 26.0 * glow + 8.0 * thick - blue)
    colour[0], colour[1], colour[2] = red, green, blue


@numba.njit(nogil=True, cache=True)
def _hill(layer, depth, rock, light, colour):  # pragma: no cover - compiled
    """Colour of a hill: blue where it is far, wooded where it is near; haze gathers at its foot."""
    light = min(max(0.5 + light, 0.0), 1.3)
    if layer == 0:
        red, green, blue = 96.0 + 46.0 * light, 116.0 + 42.0 * light, 150.0 + 34.0 * light
        snow = _smooth(0.055 + 0.05 * rock, 0.0, depth)
        red, green, blue = red + snow * (228.0 - red), green + snow * (230.0 - green), blue + snow * (240.0 - blue)
    elif layer == 1:
        red, green, blue = 58.0 + 62.0 * light, 88.0 + 62.0 * light, 84.0 + 40.0 * light
    else:
        autumn = _smooth(0.35, 0.9, rock)
        red, green, blue = 24.0 + 62.0 * light, 52.0 + 66.0 * light, 26.0 + 30.0 * light
        red, green, blue = red + 92.0 * autumn, green + 22.0 * autumn, blue - 6.0 * autumn
    haze = (0.55 - 0.24 * layer) * _smooth(0.0, 0.16, depth)
    colour[0] = red + haze * (196.0 - red)
    colour[1] = green + haze * (204.0 - green)
    colour[2] = blue + haze * (212.0 - blue)


@numba.njit(nogil=True, cache=True)
def _flower(keys, kind, y, x, cell, low, high, bloom, colour):  # pragma: no cover - compiled
    """Lay a flower over a colour, if one of a kind covers the pixel; each lies within a cell of a grid of its own.

    A kind has flowers in the rows of cells that begin between ``low`` and ``high``, so that none is cut there.
    """
    key = keys[FLOWERS + kind]
    row, column = math.floor(y / cell), math.floor(x / cell)
    if row * cell < low or row * cell >= high:
        return
    word = _bits(key, row, column)
    if _unit(word, 0) > 0.10 + 0.62 * bloom:
        return
    other = _mixed(word + np.uint64(1))
    radius = cell * (0.18 + 0.15 * _unit(word, 16))
    room = cell - 2.0 * radius
    dy = y - row * cell - radius - room * _unit(word, 32)
    dx = x - column * cell - radius - room * _unit(word, 48)
    dy *= 1.25
    far = math.sqrt(dx * dx + dy * dy)
    if far >= radius:
        return
    # Petals: the cosine of a multiple of the angle, by Chebyshev's polynomial of its cosine, turned a little.
    turn = _unit(other, 0) - 0.5
    c = (dx + turn * dy) / (far * math.sqrt(1.0 + turn * turn) + 1e-9)
    petals = 16.0 * c * c * c * c * c - 20.0 * c * c * c + 5.0 * c
    edge = radius * (0.74 + 0.26 * petals)
    cover = 1.0 - _smooth(edge - 0.12 * radius - 0.5, edge + 0.5, far)
    if cover <= 0.0:
        return
    hue = _unit(other, 16)
    if hue < 0.30:
        red, green, blue = 226.0, 30.0, 24.0
    elif hue < 0.48:
        red, green, blue = 252.0, 206.0, 20.0
    elif hue < 0.64:
        red, green, blue = 214.0, 36.0, 150.0
    elif hue < 0.78:
        red, green, blue = 112.0, 58.0, 214.0
    elif hue < 0.90:
        red, green, blue = 246.0, 242.0, 236.0
    else:
        red, green, blue = 250.0, 118.0, 12.0
    inner = far / radius
    shade = 0.68 + 0.36 * inner + 0.12 * (_unit(other, 32) - 0.5)
    red, green, blue = red * shade, green * shade, blue * shade
    heart = 1.0 - _smooth(0.16, 0.30, inner)
    dark = 1.0 if hue < 0.30 or hue >= 0.90 else 0.0
    red += heart * ((48.0 if dark else 238.0) - red)
    green += heart * ((30.0 if dark else 178.0) - green)
    blue += heart * ((26.0 if dark else 22.0) - blue)
    colour[0] += cover * (red - colour[0])
    colour[1] += cover * (green - colour[1])
    colour[2] += cover * (blue - colour[2])


@numba.njit(nogil=True, cache=True)
def draw_part(pixels, top, left, height, width, keys, octaves):  # pragma: no cover - compiled
    """Fill ``pixels`` with the part of the landscape that begins at row ``top`` and column ``left``."""
    rows, columns = pixels.shape[0], pixels.shape[1]
    # Light falls from the left: rock is bright where it rises to the right, within so many pixels.
    slant = max(1, height // 240)
    scratch = np.empty((2, columns + slant + 3))
    unit = 1.0 / height
    middle = left - 0.5 * width
    streams = keys[:SENSOR].reshape((len(CELLS), STREAMS))
    sun_u = (0.18 + 0.64 * _unit(keys[SUN], 0)) * width * unit
    sun_v = 0.16 + 0.16 * _unit(keys[SUN], 16)
    # Heights of the hills' ridges and of the near bank, column by column.
    ridge = np.empty((4, columns))
    for layer in range(4):
        field = FAR + layer
        base = (2.2, 2.6, 3.0, 2.0)[layer]
        _noise(ridge[layer], scratch, streams[field], octaves[field], left, base * unit, 0.5, 0.47)
        for at in range(columns):
            noise = ridge[layer, at]
            if layer == 0:
                ridge[layer, at] = 0.40 - 0.16 * noise
            elif layer == 1:
                ridge[layer, at] = 0.475 - 0.085 * noise
            elif layer == 2:
                ridge[layer, at] = 0.535 - 0.05 * noise
            else:
                ridge[layer, at] = 0.80 - 0.07 * noise
    shore = 0.575
    cloud, rock, waves = np.empty(columns), np.empty(columns + slant), np.empty(columns)
    meadow, grass, bloom = np.empty(columns), np.empty(columns), np.empty(columns)
    highest = min(ridge[0].min(), ridge[1].min(), ridge[2].min())
    bank = ridge[3].min()
    lowest_sky = max(ridge[0].max(), shore)
    colour = np.empty(3)
    for row in range(rows):
        y = top + row
        v = (y + 0.5) * unit
        # What a row does not show is not worked out.
        if v < lowest_sky or v >= shore:
            # Clouds lie flatter the nearer they are to the horizon; the lake mirrors them.
            at_v = v if v < shore else max(0.0, 2.0 * shore - v)
            flat = 1.0 / (0.62 - 0.8 * min(at_v, 0.6))
            count = octaves[SKY] if v < shore else min(octaves[SKY], 5)
            if v < lowest_sky or v < bank + 0.3:
                _noise(cloud, scratch, streams[SKY], count, middle, 0.55 * flat * unit, 2.2 * flat, 0.52)
        if v >= highest and v < shore + 0.02:
            _noise(rock, scratch, streams[ROCK], octaves[ROCK], left, 7.0 * unit, 12.0 * v, 0.55)
        if v >= shore - 0.02 and v < ridge[3].max():
            # Waves are long and low far away.
            near = 1.0 / (v - shore + 0.03)
            step = min(1.6 * near, 0.3 * height) * unit
            _noise(waves, scratch, streams[WAVES], min(octaves[WAVES], 4), middle, step, 9.0 * near, 0.55)
        if v >= bank:
            depth = 1.0 / (0.35 + 1.3 * (v - 0.72))
            _noise(meadow, scratch, streams[MEADOW], octaves[MEADOW], middle, 4.0 * depth * unit, 9.0 * depth, 0.6)
            step = min(40.0 * depth * unit, 0.45)
            _noise(grass, scratch, streams[GRASS], min(octaves[GRASS], 3), left, step, 16.0 * depth, 0.6)
            _noise(bloom, scratch, streams[BLOOM], min(octaves[BLOOM], 3), left, 4.0 * unit, 6.0 * v, 0.5)
        for column in range(columns):
            x = left + column
            u = (x + 0.5) * unit
            if v >= ridge[3, column]:
                below = v - ridge[3, column]
                light = 0.62 + 0.30 * meadow[column] + 0.20 * grass[column] + 0.35 * _smooth(0.0, 0.2, below)
                dry = _smooth(-0.1, 0.8, meadow[column] - 0.4 * grass[column])
                colour[0] = (52.0 + 74.0 * dry) * light + 14.0
                colour[1] = (112.0 + 26.0 * dry) * light + 16.0
                colour[2] = (34.0 + 4.0 * dry) * light + 10.0
                wet = 1.0 - _smooth(0.0, 0.012, below)
                colour[0] *= 1.0 - 0.45 * wet
                colour[1] *= 1.0 - 0.45 * wet
                colour[2] *= 1.0 - 0.3 * wet
                rich = _smooth(-0.35, 0.6, bloom[column])
                # From far and small to near and large.
                for kind in range(3):
                    cell = (0.0105, 0.021, 0.045)[kind] * height
                    low, high = (0.0, 0.79, 0.86)[kind] * height, (0.91, 2.0, 2.0)[kind] * height
                    _flower(keys, kind, float(y), float(x), cell, low, high, rich, colour)
            elif v >= shore:
                # The lake: what is above its far shore upside down, moved by waves, darker towards us.
                wave = waves[column]
                deep = v - shore
                seen = shore - deep * (1.0 + 0.10 * wave) - 0.004 * wave
                _sky(max(0.0, seen), u, sun_u, sun_v, 0.8 * cloud[column] + 0.1 * wave, colour)
                for layer in range(3):
                    if seen > ridge[layer, column] + 0.006 * wave:
                        _hill(layer, seen - ridge[layer, column], 0.35 * wave, 0.0, colour)
                fresh = 0.22 + 0.30 * _smooth(0.0, 0.28, deep)
                colour[0] += fresh * (18.0 + 26.0 * wave - colour[0])
                colour[1] += fresh * (66.0 + 34.0 * wave - colour[1])
                colour[2] += fresh * (92.0 + 40.0 * wave - colour[2])
                away = u - sun_u
                glitter = _smooth(0.35, 0.95, wave) / (1.0 + 60.0 * away * away)
                colour[0] += 190.0 * glitter
                colour[1] += 165.0 * glitter
                colour[2] += 120.0 * glitter
            else:
                # The nearest hill that reaches so high.
                layer = 2
                while layer >= 0 and v < ridge[layer, column]:
                    layer -= 1
                if layer >= 0:
                    light = (1.3, 1.0, 0.9)[layer] * (rock[column + slant] - rock[column])
                    _hill(layer, v - ridge[layer, column], rock[column], light, colour)
                else:
                    _sky(v, u, sun_u, sun_v, cloud[column] + 0.10, colour)
            # A sensor's noise: a little in all channels together, a little in each; stronger where it is dark.
            word = _bits(keys[SENSOR], y, x)
            bright = 0.3 * colour[0] + 0.6 * colour[1] + 0.1 * colour[2]
            grain = 2.6 - 0.006 * min(max(bright, 0.0), 255.0)
            together = _unit(word, 0) - 0.5
            for channel in range(3):
                own = _unit(word, 16 + 16 * channel) - 0.5
                value = colour[channel] + grain * (1.4 * together + 1.6 * own)
                pixels[row, column, channel] = np.uint8(min(max(value, 0.0), 255.0) + 0.5)
