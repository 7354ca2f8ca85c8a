"""Plain PNG files by the extra ``fast``: the same pixels and the same refusals as Pillow's."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from source_files import encoded

from fmnist_dask.collection.sources import png
from fmnist_dask.collection.sources.canvas import Canvas, MixedError, UnreadableError
from fmnist_dask.collection.sources.decoding import Strip

needs_fast = pytest.mark.skipif(png.decoder() is None, reason="needs the extra fast (imagecodecs)")
Chunks = list[tuple[bytes, bytes]]


def picture(mode: str, seed: int = 0) -> np.ndarray:
    shape = (24, 20) if mode == "L" else (24, 20, 3)
    smooth = np.add.outer(np.arange(24), np.arange(20)).reshape((24, 20) + (1,) * (len(shape) - 2)) * 3
    return (smooth + np.random.default_rng(seed).integers(0, 40, shape)).astype(np.uint8)


def chunks_of(data: bytes) -> Chunks:
    found, at = [], len(png.SIGNATURE)
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def written(chunks: Chunks) -> bytes:
    """A file whose checksums are right, whatever is in it."""
    parts = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
             for kind, data in chunks]  # fmt: skip
    return png.SIGNATURE + b"".join(parts)


def outcome(data: bytes, mode: str) -> tuple[str, bytes]:
    """What comes of a file: its pixels, or why there are none."""
    strip = Strip(Canvas(24, 20, mode), 1)
    try:
        strip.put(0, data)
    except (UnreadableError, MixedError) as error:
        return str(error), b""
    return "", strip.pixels().tobytes()


@pytest.fixture
def by_pillow(monkeypatch):
    """The outcome without the extra."""

    def alone(data: bytes, mode: str) -> tuple[str, bytes]:
        with monkeypatch.context() as patch:
            patch.setattr(png.PlainPng, "put", lambda *_: False)
            return outcome(data, mode)

    return alone


def is_plain(data: bytes, mode: str) -> bool:
    return png.PlainPng(24, 20, mode).put(data, np.empty(Canvas(24, 20, mode).shape, np.uint8))


@needs_fast
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_plain_files_need_no_pillow(mode, level, monkeypatch):
    buffer, expected = io.BytesIO(), picture(mode)
    told = PngImagePlugin.PngInfo()
    told.add_text("Software", "a camera")
    Image.fromarray(expected).save(buffer, "PNG", compress_level=level, pnginfo=told, dpi=(300, 300))
    assert is_plain(buffer.getvalue(), mode)
    monkeypatch.setattr(Image, "new", None)
    strip = Strip(Canvas(24, 20, mode), 3)
    assert strip.put(1, buffer.getvalue()) == (24, 20)
    np.testing.assert_array_equal(strip.pixels()[1], expected)
    assert not strip.pixels()[[0, 2]].any()


@needs_fast
def test_what_is_not_plain_is_left_to_pillow():
    plain = chunks_of(encoded(picture("L")))
    header, pixels, end = plain
    others = {
        "another size": chunks_of(encoded(picture("L")[:12])),
        "transparent": [header, (b"tRNS", b"\0\x07"), pixels, end],
        "turned": [header, (b"eXIf", b"MM\0*\0\0\0\x08\0\0"), pixels, end],
        "profile": [header, (b"iCCP", b"x\0\0" + zlib.compress(b"\0" * 128)), pixels, end],
        "animated": [header, (b"acTL", struct.pack(">2I", 1, 0)), pixels, end],
        "interlaced": [(b"IHDR", header[1][:12] + b"\x01"), pixels, end],
        "16 bits": chunks_of(encoded(picture("L").astype(np.uint16) * 257)),
        "in colour": chunks_of(encoded(picture("RGB"))),
        "no end": [header, pixels],
        "more after the end": [header, pixels, end, (b"tEXt", b"a\0b")],
    }
    assert is_plain(written(plain), "L")
    assert not [name for name, chunks in others.items() if is_plain(written(chunks), "L")]
    assert not is_plain(written(plain) + b"\0", "L")
    assert not is_plain(written(plain), "RGB")
    wrong = bytearray(written(plain))
    wrong[60] ^= 1
    assert not is_plain(bytes(wrong), "L")


@needs_fast
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_damaged_files_come_out_as_pillow_has_them(mode, by_pillow):
    """Bytes anywhere, and pixel data that is wrong although the checksums of its chunks are right."""
    rng = np.random.default_rng(5)
    data = encoded(picture(mode))
    fates = {"same": 0, "refused": 0}
    for number in range(1200):
        if number % 2:
            damaged = bytearray(data)
            for at in rng.integers(8, len(data), rng.integers(1, 4)):
                damaged[at] ^= 1 << int(rng.integers(8))
            damaged = bytes(damaged[: None if rng.random() < 0.7 else int(rng.integers(20, len(data)))])
        else:
            chunks = chunks_of(data)
            pixels = bytearray(zlib.decompress(chunks[1][1]))
            pixels[rng.integers(24) * (len(pixels) // 24)] = rng.integers(0, 8)  # a filter, some of which do not exist
            packed = bytearray(zlib.compress(bytes(pixels)))
            if rng.random() < 0.6:
                packed[rng.integers(len(packed))] ^= 1 << int(rng.integers(8))
            if rng.random() < 0.3:
                packed = packed[: rng.integers(len(packed))]
            chunks[1] = (b"IDAT", bytes(packed))
            damaged = written(chunks)
        reason, found = outcome(damaged, mode)
        assert (reason, found) == by_pillow(damaged, mode), number
        fates["refused" if reason else "same"] += 1
    assert min(fates.values()) > 50, fates


@needs_fast
def test_sizes_above_the_limit_are_refused_however_they_are_decoded():
    with pytest.raises(UnreadableError, match="24 × 20 pixels; the limit is 100"):
        Strip(Canvas(24, 20, "L", max_pixels=100), 1).put(0, encoded(picture("L")))


def test_without_the_extra_everything_goes_through_pillow():
    program = (
        "import sys; sys.modules['imagecodecs'] = None\n"
        "import io, numpy as np; from PIL import Image\n"
        "from fmnist_dask.collection.sources.decoding import Canvas, decode\n"
        "pixels, file = np.arange(12, dtype=np.uint8).reshape(3, 4), io.BytesIO()\n"
        "Image.fromarray(pixels).save(file, 'PNG')\n"
        "assert (decode(file.getvalue(), Canvas(3, 4, 'L'))[0] == pixels).all(); print('decoded')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "decoded\n", done.stderr
