"""Encoded images to pixels: every mode of Pillow's by the stated rule, sizes, and strips of many images."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps
from source_files import encoded

from fmnist_dask.collection.sources.canvas import Canvas, MixedError, UnreadableError
from fmnist_dask.collection.sources.decoding import Strip, decode, read_header

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
COLOUR = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
ALPHA = np.linspace(0, 255, 48).astype(np.uint8).reshape(6, 8)


def file_of(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels_of(data, mode, **options):
    return decode(data, Canvas(6, 8, mode, **options))[0]


def test_grey_and_colour_are_taken_as_they_are():
    np.testing.assert_array_equal(pixels_of(encoded(GREY), "L"), GREY)
    np.testing.assert_array_equal(pixels_of(encoded(COLOUR), "RGB"), COLOUR)
    np.testing.assert_array_equal(pixels_of(encoded(GREY), "RGB"), np.stack([GREY] * 3, axis=2))


def test_colour_becomes_grey_by_its_luma():
    weights = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    np.testing.assert_allclose(pixels_of(encoded(COLOUR), "L"), COLOUR @ weights, atol=1)


def test_sixteen_bits_are_divided_by_257():
    deep = np.random.default_rng(1).integers(0, 65536, (6, 8)).astype(np.uint16)
    deep[0, :3] = 0, 257, 65535
    found = pixels_of(encoded(deep), "L")
    np.testing.assert_array_equal(found, np.floor(deep / 257 + 0.5).astype(np.uint8))
    assert found[0, :3].tolist() == [0, 1, 255]
    np.testing.assert_array_equal(pixels_of(encoded(deep, "TIFF"), "L"), found)


@pytest.mark.parametrize("background", [0, 255, 100])
def test_transparent_pixels_are_laid_over_the_background(background):
    data = file_of(Image.fromarray(np.dstack([COLOUR, ALPHA]), "RGBA"))
    share = ALPHA[..., None] / 255
    expected = COLOUR * share + background * (1 - share)
    np.testing.assert_allclose(pixels_of(data, "RGB", background=background), expected, atol=1)
    kept = pixels_of(data, "RGBA", flatten=False)
    np.testing.assert_array_equal(kept, np.dstack([COLOUR, ALPHA]))


def test_palettes_are_looked_up():
    picture = Image.fromarray(COLOUR).quantize(16)
    expected = np.asarray(picture.convert("RGB"))
    np.testing.assert_array_equal(pixels_of(file_of(picture), "RGB"), expected)
    np.testing.assert_array_equal(pixels_of(file_of(picture, "GIF"), "RGB"), expected)
    assert read_header(file_of(picture)).mode == "RGB"
    grey = Image.fromarray(GREY)
    grey.putpalette([value for value in range(256) for _ in range(3)])
    assert read_header(file_of(grey)).mode == "L"
    np.testing.assert_array_equal(pixels_of(file_of(grey), "L"), GREY)


def test_a_transparent_colour_of_a_palette_is_background():
    picture = Image.fromarray(GREY // 64).convert("P")
    data = file_of(picture, transparency=2)
    found = pixels_of(data, "L", background=200)
    assert (found[GREY // 64 == 2] == 200).all()


def test_one_bit_and_four_inks_are_read():
    bits = Image.fromarray(GREY > 100)
    np.testing.assert_array_equal(pixels_of(file_of(bits), "L"), (GREY > 100) * np.uint8(255))
    inks = Image.fromarray(COLOUR).convert("CMYK")
    np.testing.assert_array_equal(pixels_of(file_of(inks, "TIFF"), "RGB"), np.asarray(inks.convert("RGB")))


def test_of_moving_pictures_the_first_frame_is_taken():
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    data = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:], loop=0)
    np.testing.assert_array_equal(pixels_of(data, "L"), GREY)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_cameras_that_were_held_otherwise_are_believed(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = file_of(Image.fromarray(COLOUR), exif=exif.tobytes())
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    header = read_header(data)
    assert (header.height, header.width) == upright.shape[:2]
    found, size = decode(data, Canvas(*upright.shape[:2], "RGB"))
    assert size == upright.shape[:2]
    np.testing.assert_array_equal(found, upright)


def test_floating_point_pixels_are_refused():
    with pytest.raises(UnreadableError, match="floating-point"):
        pixels_of(file_of(Image.fromarray(GREY.astype(np.float32)), "TIFF"), "L")


def test_another_size_needs_a_rule():
    with pytest.raises(MixedError, match="6 × 8 pixels, not 5 × 5"):
        decode(encoded(GREY), Canvas(5, 5, "L"))
    with pytest.raises(MixedError, match="RGB among images of mode L"):
        decode(encoded(COLOUR), Canvas(6, 8, "L", strict=True))


@pytest.mark.parametrize("background", [0, 9])
def test_pictures_are_padded_cropped_or_stretched(background):
    white = np.full((6, 12), 250, np.uint8)
    padded, size = decode(encoded(white), Canvas(8, 8, "L", fit="pad", background=background))
    assert size == (6, 12)
    assert (padded[2:6] == 250).all()
    assert (padded[[0, 1, 6, 7]] == background).all()
    ramp = np.tile(np.arange(12, dtype=np.uint8) * 20, (6, 1))
    cropped, _ = decode(encoded(ramp), Canvas(6, 6, "L", fit="crop"))
    np.testing.assert_array_equal(cropped, ramp[:, 3:9])
    stretched, _ = decode(encoded(ramp), Canvas(6, 6, "L", fit="stretch"))
    assert (np.diff(stretched[0].astype(int)) > 0).all()
    assert stretched[0, 0] < 30
    assert stretched[0, -1] > 200


def test_a_strip_holds_what_could_be_decoded():
    images = np.random.default_rng(3).integers(0, 256, (5, 6, 8), dtype=np.uint8)
    strip = Strip(Canvas(6, 8, "L"), 5)
    for at, image in enumerate(images):
        if at == 2:
            with pytest.raises(UnreadableError):
                strip.put(at, encoded(image)[:40])
        else:
            assert strip.put(at, encoded(image)) == (6, 8)
    expected = images.copy()
    expected[2] = 0
    np.testing.assert_array_equal(strip.pixels(), expected)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_the_quick_way_and_the_careful_way_agree(kind):
    """Images on their canvas as they are skip what others go through."""
    data = encoded(COLOUR, kind)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(pixels_of(data, "RGB"), expected)
    np.testing.assert_array_equal(pixels_of(data, "RGBA", flatten=False)[..., :3], expected)
