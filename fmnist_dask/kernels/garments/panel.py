"""Images of one class, drawn for a panel of rows at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fmnist_dask.kernels.counter_random import random_fields
from fmnist_dask.kernels.garments.ankle_boot import draw_ankle_boot
from fmnist_dask.kernels.garments.bag import draw_bag
from fmnist_dask.kernels.garments.dice import Dice
from fmnist_dask.kernels.garments.dress import draw_dress
from fmnist_dask.kernels.garments.sandal import draw_sandal
from fmnist_dask.kernels.garments.sneaker import draw_sneaker
from fmnist_dask.kernels.garments.strokes import SIZE, Array, clip_unit
from fmnist_dask.kernels.garments.tops import draw_coat, draw_pullover, draw_shirt, draw_tshirt
from fmnist_dask.kernels.garments.trouser import draw_trouser

_STREAM_FABRIC_NOISE = 5_000

_DRAWERS: tuple[Callable[[Dice], Array], ...] = (
    draw_tshirt,
    draw_trouser,
    draw_pullover,
    draw_dress,
    draw_coat,
    draw_sandal,
    draw_shirt,
    draw_sneaker,
    draw_bag,
    draw_ankle_boot,
)


def draw_panel(seed: int, rows: NDArray[np.int64], class_index: int) -> NDArray[np.uint8]:
    """Draw images of one class.

    Parameters
    ----------
    seed : int
        Seed of the collection.
    rows : numpy.ndarray of int64, shape (n,)
        Row indices; each image depends on its own row index alone.
    class_index : int
        Class to draw, 0 to 9.

    Returns
    -------
    numpy.ndarray of uint8, shape (n, 28, 28)
    """
    dice = Dice(seed, rows)
    grain = dice.uniform(0.02, 0.09)
    image = _DRAWERS[class_index](dice)
    # Fabric noise, in proportion to the brightness: the background stays exactly black.
    noise = random_fields(seed, rows, _STREAM_FABRIC_NOISE, SIZE * SIZE, 8).reshape(SIZE, SIZE, -1)
    noise -= np.float32(127.5)
    noise *= grain * np.float32(1 / 127.5)
    noise += 1
    image *= noise
    clip_unit(image)
    image *= 255
    image += np.float32(0.5)
    return np.ascontiguousarray(image.transpose(2, 0, 1).astype(np.uint8))
