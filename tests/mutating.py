"""Small valid inputs of every format, and ways to damage them: each by a seed, so that a failure can be repeated."""

from __future__ import annotations

import functools
import gzip
import io
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from source_files import FORMATS, written
from support import random_images

#: A file's bytes; ``None`` for a directory; a function that makes something else at its path.
Content = bytes | None | Callable[[str], object]
Files = dict[str, Content]
Rng = np.random.Generator
#: Rows of each split.
ROWS = {"train": 30, "test": 12}
PICTURES = {"jpeg": ".jpg", "webp": ".webp", "bmp": ".bmp", "gif": ".gif", "tiff": ".tif", "png-rgb": ".png"}
KINDS = (*FORMATS, *PICTURES)
#: First bytes of files of other kinds.
MAGIC = (
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"RIFF\x10\0\0\0WEBP", b"PAR1",
    b"PK\x03\x04", b"\x93NUMPY\x01\0", b"\x93NUMPY\x02\0", b"\x1f\x8b\x08\0", b"\0\0\x08\x03", b"\0\0\x0d\x03", b"P5\n",
    b"%!PS", b"\0\0\0\0", b"ustar\0",
)  # fmt: skip
EXTREMES = (0, 1, -1, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63), 2**40)


def data_of(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of a split."""
    rows = ROWS[split]
    return random_images(rows, (8, 8), seed=len(split)), np.arange(rows) % 4


@functools.cache
def base(kind: str) -> Files:
    """A valid input: the files of its directory."""
    splits = {split: data_of(split) for split in ROWS}
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "some"
        if kind in FORMATS:
            written(kind, root, splits)
        else:
            for split, (image, label) in splits.items():
                for row, (pixels, number) in enumerate(zip(image, label, strict=True)):
                    path = root / split / str(number) / f"{row:03d}{PICTURES[kind]}"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    colour = kind in ("jpeg", "png-rgb", "webp")
                    Image.fromarray(np.stack([pixels] * 3, axis=2) if colour else pixels).save(path)
        return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def place(files: Files, root: Path) -> Path:
    """Write files below a directory."""
    root.mkdir(parents=True)
    for name, content in files.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if callable(content):
            content(path)
        elif content is None:
            os.mkdir(path)
        else:
            with open(path, "wb") as file:
                file.write(content)
    return root


def some_file(files: Files, rng: Rng) -> str:
    """One of the files; images beside a table of labels give way to it now and then."""
    names = sorted(files)
    tables = [name for name in names if "metadata." in name]
    return str(rng.choice(tables if tables and rng.random() < 0.3 else names))


def flip(data: bytes, rng: Rng, low: int = 0, high: int | None = None) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        changed[int(rng.integers(low, min(high or len(data), len(data))))] ^= 1 << int(rng.integers(0, 8))
    return bytes(changed)


def flip_head(data: bytes, rng: Rng) -> bytes:
    return flip(data, rng, 0, 96)


def flip_tail(data: bytes, rng: Rng) -> bytes:
    return flip(data, rng, max(0, len(data) - 400))


def overwrite(data: bytes, rng: Rng) -> bytes:
    size = int(rng.integers(1, 65))
    run = [rng.bytes(size), bytes(size), b"\xff" * size][int(rng.integers(0, 3))]
    at = int(rng.integers(0, len(data)))
    return data[:at] + run + data[at + size :]


def cut(data: bytes, rng: Rng) -> bytes:
    return data[: int(rng.integers(0, len(data)))]


def grow(data: bytes, rng: Rng) -> bytes:
    size = int(rng.integers(1, 3000))
    return data + [rng.bytes(size), bytes(size), data[:size], b"\n" * size][int(rng.integers(0, 4))]


def drop(data: bytes, rng: Rng) -> bytes:
    at = int(rng.integers(0, len(data)))
    return data[:at] + data[at + int(rng.integers(1, 600)) :]


def repeat(data: bytes, rng: Rng) -> bytes:
    at, size = int(rng.integers(0, len(data))), int(rng.integers(1, 1500))
    return data[:at] + data[at : at + size] * int(rng.integers(2, 5)) + data[at + size :]


def magic(data: bytes, rng: Rng) -> bytes:
    head = MAGIC[int(rng.integers(0, len(MAGIC)))]
    return head + data[len(head) :]


def extreme(data: bytes, rng: Rng) -> bytes:
    """A number near the beginning or the end becomes one at the edge of its range."""
    width = int(rng.choice([1, 2, 4, 8]))
    number = EXTREMES[int(rng.integers(0, len(EXTREMES)))] % (1 << 8 * width)
    room = max(1, min(len(data) - width, 400))
    at = int(rng.integers(0, room)) if rng.random() < 0.5 else max(0, len(data) - width - int(rng.integers(0, room)))
    return data[:at] + number.to_bytes(width, str(rng.choice(["little", "big"]))) + data[at + width :]  # type: ignore


def lines(data: bytes, rng: Rng) -> bytes:
    """Lines go, come twice, or change places."""
    found = data.split(b"\n")
    one, other = (int(at) for at in rng.integers(0, len(found), 2))
    what = int(rng.integers(0, 4))
    if what == 0:
        del found[one : one + 3]
    elif what == 1:
        found.insert(one, found[other])
    elif what == 2:
        found[one], found[other] = found[other], found[one]
    else:
        found[one] = found[one][: len(found[one]) // 2] + found[other]
    return b"\n".join(found)


def nothing(data: bytes, rng: Rng) -> bytes:
    return b""


BLIND = (flip, flip_head, flip_tail, overwrite, cut, grow, drop, repeat, magic, extreme, lines, nothing)


def inside(name: str, data: bytes, change: Callable[[bytes], bytes], rng: Rng) -> bytes:
    """Damage what is compressed, with sound checksums around it."""
    if name.endswith("gz"):
        return gzip.compress(change(gzip.decompress(data)), 1)
    if name.endswith(".npz"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {member: archive.read(member) for member in archive.namelist()}
        chosen = str(rng.choice(sorted(members)))
        members[chosen] = change(members[chosen])
        return zipped(members)
    return change(data)


def zipped(members: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return buffer.getvalue()


def damaged_blindly(kind: str, rng: Rng) -> tuple[Files, str, set[str]]:
    """One file of a valid input, changed by chance; what was done; and the files that were not touched."""
    files = dict(base(kind))
    name = some_file(files, rng)
    data = files[name]
    assert isinstance(data, bytes)
    one = BLIND[int(rng.integers(0, len(BLIND)))]
    if rng.random() < 0.6:
        files[name] = inside(name, data, lambda content: one(content, rng) if content else content, rng)
    else:
        files[name] = one(data, rng)
    return files, f"{one.__name__} {name}", set(files) - {name}
