"""Properties of images: by hand, and against straightforward NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fmnist_dask.kernels.properties import PROPERTIES, image_properties, to_gray

sides = st.integers(1, 12)


def straightforward(gray):
    """The five properties of one grey image, in float64."""
    pixels = gray.astype(np.float64) / 255
    _, counts = np.unique(gray, return_counts=True)
    inside = pixels[1:-1, 1:-1]
    laplacian = pixels[:-2, 1:-1] + pixels[2:, 1:-1] + pixels[1:-1, :-2] + pixels[1:-1, 2:] - 4 * inside
    return [
        pixels.mean(),
        pixels.std(),
        counts.max() / gray.size,
        laplacian.std() if inside.size else 0.0,
        len(counts),
    ]


def measured(gray):
    return image_properties(np.asarray(gray, dtype=np.uint8)[None])[0]


@given(st.tuples(st.integers(1, 4), sides, sides).flatmap(lambda shape: arrays(np.uint8, shape)))
def test_grey_images_equal_numpy(image):
    found = image_properties(image)
    assert found.dtype.names == tuple(PROPERTIES)
    assert found.shape == (len(image),)
    for row, gray in enumerate(image):
        np.testing.assert_allclose(list(found[row]), straightforward(gray), rtol=1e-6, atol=1e-7)


@given(st.tuples(st.integers(1, 3), sides, sides, st.integers(1, 4)).flatmap(lambda shape: arrays(np.uint8, shape)))
def test_images_with_channels_are_measured_on_their_grey_version(image):
    assert (image_properties(image) == image_properties(to_gray(image))).all()


checkerboard = np.indices((6, 6)).sum(axis=0) % 2 * 255
single = np.zeros((5, 5))
single[2, 2] = 255

TABLE = {
    "black": (np.zeros((4, 4)), (0, 0, 1, 0, 1)),
    "white": (np.full((4, 4), 255), (1, 0, 1, 0, 1)),
    "grey": (np.full((3, 5), 51), (0.2, 0, 1, 0, 1)),
    # Neighbours differ by all there is: the Laplacian is ±4.
    "checkerboard": (checkerboard, (0.5, 0.5, 0.5, 4, 2)),
    # Laplacian of the 9 inner pixels: one −4, four 1, four 0; its mean is 0 and its mean square 20/9.
    "single pixel": (single, (1 / 25, np.sqrt(24) / 25, 24 / 25, np.sqrt(20 / 9), 2)),
    "1x1": ([[102]], (0.4, 0, 1, 0, 1)),
    "1x2": ([[0, 255]], (0.5, 0.5, 0.5, 0, 2)),
    "no inner pixel": ([[0, 255], [255, 0]], (0.5, 0.5, 0.5, 0, 2)),
    # An even slope has no second derivative.
    "slope": (np.arange(0, 250, 10)[None, :].repeat(4, axis=0), (120 / 255, np.sqrt(5200) / 255, 1 / 25, 0, 25)),
    "all values": (np.arange(256).reshape(16, 16), (0.5, np.sqrt((256**2 - 1) / 12) / 255, 1 / 256, 0, 256)),
}


@pytest.mark.parametrize(("image", "expected"), TABLE.values(), ids=TABLE)
def test_by_hand(image, expected):
    np.testing.assert_allclose(list(measured(image)), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("side", [1500, 2000, 2800])
def test_large_images_do_not_overflow(side):
    board = (np.indices((side, side)).sum(axis=0) % 2 * 255).astype(np.uint8)
    np.testing.assert_allclose(list(measured(board)), (0.5, 0.5, 0.5, 4, 2), rtol=1e-6)


def test_large_photographs_do_not_overflow():
    image = np.full((4000, 6000), 255, np.uint8)
    image[:, ::2] = 205
    found = measured(image)
    np.testing.assert_allclose(list(found), (230 / 255, 25 / 255, 0.5, 100 / 255, 2), rtol=1e-6)


@pytest.mark.parametrize("level", [1, 128, 255])
def test_large_constant_images_have_no_contrast(level):
    found = measured(np.full((2000, 2000), level, np.uint8))
    assert list(found) == [np.float32(level / 255), 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("colour", "grey"),
    [
        ((255, 0, 0), 76),  # 76.245
        ((0, 255, 0), 150),  # 149.685
        ((0, 0, 255), 29),  # 29.07
        ((255, 255, 255), 255),
        ((0, 0, 0), 0),
        ((10, 20, 30), 18),  # 18.15
        ((255, 255, 0), 226),  # 225.93
        ((255, 0, 0, 7), 76),  # a fourth channel does not count
    ],
)
def test_colours_are_weighted_as_in_bt_601(colour, grey):
    assert to_gray(np.array(colour, np.uint8).reshape(1, 1, 1, -1)).tolist() == [[[grey]]]


@pytest.mark.parametrize("channels", [1, 2])
def test_the_first_of_few_channels_is_the_grey_one(channels):
    image = np.arange(6 * channels, dtype=np.uint8).reshape(1, 2, 3, channels)
    assert (to_gray(image) == image[..., 0]).all()


def test_no_images_have_no_properties():
    assert image_properties(np.zeros((0, 4, 4), np.uint8)).shape == (0,)
