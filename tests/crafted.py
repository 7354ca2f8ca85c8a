"""Inputs that are wrong on purpose: lies about lengths, bombs, names that point elsewhere, labels that are none."""

from __future__ import annotations

import functools
import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from mutating import Files, Rng, base, data_of, inside, zipped
from source_files import add_to_tar, encoded

Make = Callable[[Rng], Files]
CRAFTED: list[tuple[str, str, Make]] = []
IMAGE, LABEL = data_of("train")
#: What should have been a number.
ODD = (
    "nan", "inf", "-inf", "-1", "-2", "256", "1e400", "0.5", "1e2", "", " ", "abc", "9" * 5000, "9" * 12, '"3"', '"', "'",
    "T-shirt/top", "1_0", "٣", "\0", "NULL", "0x10", "2024-01-01", "\ud800", "é", "=1+1", "x" * 200_000, "5\r", "\u2028",
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (
    float("nan"), float("inf"), -1, -2, 256, 0.5, 10**400, 10**30, "", "abc", None, True, [1], {"a": 1}, "9" * 5000,
    "\ud800", "1\u20282",
)  # fmt: skip


def crafted(kind: str, **named: Make) -> None:
    CRAFTED.extend((kind, name.replace("_", " "), make) for name, make in named.items())


def each(kind: str, name: str, values: Any, make: Callable[[Any, Rng], Files]) -> None:
    CRAFTED.extend((kind, f"{name} {value!r}"[:60], functools.partial(make, value)) for value in values)


def changed(kind: str, name: str, change: Callable[[bytes], bytes]) -> Files:
    """The valid input with one file changed; inside, if it is compressed."""
    files = dict(base(kind))
    data = files[name]
    assert isinstance(data, bytes)
    files[name] = inside(name, data, change, np.random.default_rng(0)) if not name.endswith(".npz") else change(data)
    return files


@functools.cache
def zeros(megabytes: int, head: bytes = b"", tail: bytes = b"", byte: bytes = b"\0") -> bytes:
    """A gzip file of many zeros between head and tail: members of it are repeated, so that nothing large is held."""
    member = gzip.compress(byte * (1 << 20), 9)
    return gzip.compress(head) + member * megabytes + gzip.compress(tail)


# IDX: what the header says of lengths.
def idx_header(values: tuple[int, ...], rng: Rng, kind: str = "idx", name: str = "train-images-idx3-ubyte") -> Files:
    head = struct.pack(f">{len(values)}I", *values)
    files = changed("idx", name, lambda data: head + data[len(head) :])
    if kind == "gz":
        files = {f"{path}.gz": gzip.compress(data) for path, data in files.items() if isinstance(data, bytes)}
    return files


SHAPES = [
    (0x803, 2**32 - 1, 8, 8), (0x803, 0, 8, 8), (0x803, 30, 0, 8), (0x803, 30, 2**20, 2**20), (0x803, 30, 2**14, 2**14),
    (0x803, 1, 8, 240), (0x803, 15, 16, 8), (0xD03, 30, 8, 8), (0x801, 30), (0x1F8B0808, 0, 0, 0),
]  # fmt: skip
for compression in ("idx", "gz"):
    each("idx", f"{compression} header", SHAPES, functools.partial(idx_header, kind=compression))
each("idx", "labels", [(0x801, 29), (0x801, 2**31), (0x803, 30), (0x801, 0)],
     lambda value, rng: idx_header(value, rng, name="train-labels-idx1-ubyte"))  # fmt: skip
crafted(
    "idx",
    high_label=lambda rng: changed("idx", "train-labels-idx1-ubyte", lambda data: data[:-1] + b"\xff"),
    directory_named_like_a_file=lambda rng: {**base("idx"), "train-images-idx3-ubyte": None},
    bomb=lambda rng: {
        "train-images-idx3-ubyte.gz": zeros(700, struct.pack(">4I", 0x803, 30, 8, 8) + IMAGE.tobytes()),
        "t10k-images-idx3-ubyte": base("idx")["t10k-images-idx3-ubyte"],
    },
)


# CSV: single values, lines, and lines without an end.
def with_cell(value: str, rng: Rng, at: int, suffix: str = "") -> Files:
    def change(data: bytes) -> bytes:
        rows = data.split(b"\n")
        row = int(rng.integers(1, 30))
        fields = rows[row].split(b",")
        fields[at] = value.encode("utf-8", "surrogatepass")
        rows[row] = b",".join(fields)
        return b"\n".join(rows)

    kind = f"csv{suffix}"
    return changed(kind, max(base(kind)), change)


each("csv", "label", ODD, functools.partial(with_cell, at=0))
each("csv", "value", ODD, functools.partial(with_cell, at=9))
each("csv-bare", "label", ODD[:12], functools.partial(with_cell, at=0, suffix="-bare"))


def all_labels(value: str, rng: Rng) -> Files:
    def change(data: bytes) -> bytes:
        head, *rows = data.rstrip(b"\n").split(b"\n")
        text = value.encode("utf-8", "surrogatepass")
        return b"\n".join([head, *(text + row[row.index(b",") :] for row in rows)])

    return changed("csv", "fashion_train.csv", change)


each("csv", "all labels", ODD, all_labels)
CSV = "fashion_train.csv"
crafted(
    "csv",
    returns=lambda rng: changed("csv", CSV, lambda data: data.replace(b"\n", b"\r")),
    both=lambda rng: changed("csv", CSV, lambda data: data.replace(b"\n", b"\r\n")),
    mark=lambda rng: changed("csv", CSV, lambda data: b"\xef\xbb\xbf" + data),
    wide=lambda rng: changed("csv", CSV, lambda data: data.decode().encode("utf-16")),
    semicolons=lambda rng: changed("csv", CSV, lambda data: data.replace(b",", b";")),
    header_alone=lambda rng: changed("csv", CSV, lambda data: data[: data.index(b"\n")]),
    header_twice=lambda rng: changed("csv", CSV, lambda data: data[: data.index(b"\n") + 1] + data),
    blank_beginning=lambda rng: changed("csv", CSV, lambda data: b"\n\n" + data),
    many_blank_lines=lambda rng: changed("csv", CSV, lambda data: data + b"\n" * 300_000),
    many_short_lines=lambda rng: changed("csv", CSV, lambda data: data + b"0\n" * 20_000),
    no_label=lambda rng: changed(
        "csv", CSV, lambda data: b"\n".join(line.partition(b",")[2] for line in data.split(b"\n"))
    ),
    long_line=lambda rng: changed("csv", CSV, lambda data: data + b"7" * (6 << 20) + b"\n"),
    long_lines=lambda rng: changed("csv", CSV, lambda data: data + (b"1," * (3 << 20) + b"\n") * 3),
    long_first_line=lambda rng: {"x.csv": b"1," * (2 << 20) + b"1\n2,3\n"},
    million_columns=lambda rng: {"x.csv": (b"3," * (1000 * 1000) + b"1\n") * 2},
    directory=lambda rng: {**base("csv"), "more.csv/x.csv": b"", "y.csv": None},
)
crafted(
    "csv-gz",
    line_without_end=lambda rng: {**base("csv-gz"), "x.csv.gz": zeros(700, b"1,2", byte=b"3")},
    values_without_end=lambda rng: {**base("csv-gz"), "x.csv.gz": zeros(64, b"1,", byte=b"3,")},
    only_values_without_end=lambda rng: {"x.csv.gz": zeros(64, b"1,", byte=b"3,")},
    many_long_lines=lambda rng: {**base("csv-gz"), "x.csv.gz": many_long_lines()},
    zeros_without_end=lambda rng: {**base("csv-gz"), "x.csv.gz": zeros(700)},
    no_gzip=lambda rng: {**base("csv-gz"), "x.csv.gz": b"1,2,3\n"},
    twice_compressed=lambda rng: {
        path: gzip.compress(data) for path, data in base("csv-gz").items() if isinstance(data, bytes)
    },
)


@functools.cache
def many_long_lines() -> bytes:
    head = base("csv")[CSV]
    assert isinstance(head, bytes)
    return gzip.compress(head) + gzip.compress(b"7," * (5 << 19) + b"\n") * 300


# NumPy: headers, types, values, archives.
class Payload:
    """Creates a file when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (UNPICKLED, "w"))


#: Where a pickled object would leave a mark: beside the input, since processes run in their own directory.
UNPICKLED = "unpickled"


def npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00", length: int | None = None) -> bytes:
    """An NPY file with whatever header."""
    text = header.encode() + b"\n"
    size = len(text) if length is None else length
    packed = struct.pack("<H", size % 2**16) if version[0] == 1 else struct.pack("<I", size % 2**32)
    return b"\x93NUMPY" + version + packed + text + data


def saved(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def archive(**arrays: np.ndarray) -> bytes:
    return zipped({f"{name}.npy": saved(array) for name, array in arrays.items()})


HEADERS = [
    "{'descr': '|u1', 'fortran_order': False, 'shape': (%s), }" % shape
    for shape in ("30, 8, 9", "10**9, 8, 8", "-30, 8, 8", "0, 8, 8", "30, 0, 8", "30, -8, -8", "1920,", "", "30.0, 8, 8",
                  "True, 8, 8", "'30', 8, 8", "30, 8, 8, 1, 1, 1", "9999999999999999999999, 8, 8", "1, 1, 1920", "30, 64",
                  "40000000000, 0, 0", "1920, 1, 1")
] + [
    "{'descr': %s, 'fortran_order': False, 'shape': (30, 8, 8), }" % kind
    for kind in ("'|O'", "'<U0'", "'|V1'", "'|S1'", "'<u2'", "'>f8'", "'|b1'", "'<M8[s]'", "'<c8'", "'<U1000000000'",
                 "[('a', '<u1')]", "'|V0'", "None", "'x'", "('|u1', (2, 2))", "[('a', '|O')]")
] + [
    "{'descr': '|u1', 'fortran_order': True, 'shape': (30, 8, 8), }", "{}", "[]", "", "(" * 5000, "-" * 9000 + "1",
    "{'descr': '|u1', 'fortran_order': 1, 'shape': (30, 8, 8)}", "__import__('os').getcwd()", "'" * 200, "{" * 90,
]  # fmt: skip
each("npy", "images", HEADERS, lambda text, rng: {**base("npy"), "train_images.npy": npy(text, IMAGE.tobytes())})
each("npy", "labels", [text.replace("30, 8, 8", "30,") for text in HEADERS],
     lambda text, rng: {**base("npy"), "train_labels.npy": npy(text, bytes(30))})  # fmt: skip
each("npy", "long header", [2**16 - 1, 0, 2**31, 2**32 - 1],
     lambda size, rng: {**base("npy"), "train_images.npy": npy(HEADERS[0], bytes(99), b"\x02\x00", size)})  # fmt: skip
each("npy", "version", [b"\x03\x00", b"\x09\x09", b"\x00\x00"],
     lambda version, rng: {**base("npy"), "train_images.npy": npy(HEADERS[0], IMAGE.tobytes(), version)})  # fmt: skip


def with_values(value: float, rng: Rng, labels: bool) -> Files:
    files = dict(base("npy"))
    kind = [np.float64, np.float32, np.float16][int(rng.integers(0, 3))]
    array = (LABEL if labels else IMAGE).astype(kind)
    with np.errstate(all="ignore"):
        array[7 if labels else (7, 2, 2)] = value
    files["train_labels.npy" if labels else "train_images.npy"] = saved(array)
    return files


for labels in (False, True):
    each("npy", "labels hold" if labels else "images hold", [np.nan, np.inf, -np.inf, -1, 0.5, 1e300, 256, 65536],
         functools.partial(with_values, labels=labels))  # fmt: skip
TEXTS = np.array(["shoe", "bag", "coat"] * 10)
crafted(
    "npy",
    pickled=lambda rng: {**base("npy"), "x.npy": saved(np.array([Payload()] * 30), allow_pickle=True)},
    pickled_labels=lambda rng: {
        **base("npy"), "train_labels.npy": saved(np.array([Payload()] * 30), allow_pickle=True)
    },
    bare_pickle=lambda rng: {**base("npy"), "train_labels.npy": pickle.dumps(Payload())},
    texts_out_of_range=lambda rng: {
        **base("npy"), "train_labels.npy": saved(TEXTS)[:-120] + b"\xff\xff\xff\xff" + saved(TEXTS)[-116:]
    },
    signalling_nan=lambda rng: {
        **base("npy"), "train_images.npy": saved(IMAGE.astype("<f4"))[:-8] + b"\x01\0\xa0\x7f" * 2
    },
    odd_truths=lambda rng: {**base("npy"), "train_images.npy": saved(IMAGE > 99)[:-9] + b"\x02\xff\x01\x00" + bytes(5)},
    huge_image=lambda rng: {"x.npz": huge_image()},
    directory=lambda rng: {**base("npy"), "more.npy/x.npy": b"", "y.npz": None},
)  # fmt: skip


@functools.cache
def huge_image() -> bytes:
    """One image of 30,000 × 30,000 zeros, deflated to a megabyte."""
    return bomb_archive("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 30000, 30000), }", 900)


def bomb_archive(header: str, megabytes: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as out, out.open("x.npy", "w", force_zip64=True) as member:
        member.write(npy(header))
        for _ in range(megabytes):
            member.write(bytes(1 << 20))
    return buffer.getvalue()


@functools.cache
def many_labels() -> bytes:
    """120,000,000 labels, and images of one pixel of which the directory says that they are as many."""
    buffer = io.BytesIO()
    sizes = {}
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as out:
        for name, shape, millions in (("x", "120000000, 1, 1", 3), ("y", "120000000,", 120)):
            head = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (%s), }" % shape)
            sizes[name] = len(head) + millions * 1_000_000
            with out.open(f"{name}.npy", "w") as member:
                member.write(head)
                for _ in range(millions):
                    member.write(bytes(1_000_000))
    more = sizes["x"] + 117_000_000
    return buffer.getvalue().replace(struct.pack("<I", sizes["x"]), struct.pack("<I", more))


def in_archive(value: Any, rng: Rng) -> Files:
    where, number = value
    data = archive(x=IMAGE, y=LABEL)
    directory = data.rindex(b"PK\x01\x02")
    at = {"stored size": directory + 20, "size": directory + 24, "offset": directory + 42, "method": directory + 10,
          "flags": directory + 8, "name": directory + 28, "count": len(data) - 12, "start": len(data) - 6}[where]  # fmt: skip
    packed = struct.pack("<I", number % 2**32) if where in ("stored size", "size", "offset", "start") else struct.pack(
        "<H", number % 2**16
    )  # fmt: skip
    return {"x.npz": data[:at] + packed + data[at + len(packed) :]}


each("npz", "directory", [(where, number) for where in ("stored size", "size", "offset", "count", "start", "name")
                          for number in (0, 1, 2**31, -1)], in_archive)  # fmt: skip
each("npz", "directory", [("method", number) for number in (0, 9, 12, 14, 93, 99)] + [("flags", 1), ("flags", 2**11)],
     in_archive)  # fmt: skip
crafted(
    "npz",
    labels_without_end=lambda rng: {"x.npz": many_labels()},
    tight=lambda rng: {"x.npz": zipped({"x.npy": saved(np.zeros((100, 2000, 1000), np.uint8))}, zipfile.ZIP_BZIP2)},
    tighter=lambda rng: {"x.npz": zipped({"x.npy": saved(IMAGE)}, zipfile.ZIP_LZMA)},
    names_that_point_elsewhere=lambda rng: {"x.npz": zipped({"../../x.npy": saved(IMAGE), "/y.npy": saved(LABEL)})},
    other_members=lambda rng: {"x.npz": zipped({"x.npy": saved(IMAGE), "y.npy": saved(LABEL), "z.txt": b"", "a/": b""})},
    pickled=lambda rng: {"x.npz": zipped({"x.npy": saved(IMAGE), "y.npy": saved(np.array([Payload()]), allow_pickle=True)})},
    empty_archive=lambda rng: {"x.npz": zipped({})},
    many_members=lambda rng: {"x.npz": zipped({f"x{at}.npy": saved(IMAGE[:1]) for at in range(300)})},
    zero_rows=lambda rng: {"x.npz": archive(x=IMAGE[:0], y=LABEL[:0])},
    fewer_labels=lambda rng: {"x.npz": archive(x=IMAGE, y=LABEL[:-1])},
)  # fmt: skip


# Images: bombs and lies about their size.
def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int = 8, height: int = 8, extra: bytes = b"", data: bytes | None = None, depth: int = 8) -> bytes:
    """A PNG file with whatever header and further chunks."""
    pixels = zlib.compress(bytes(9 * 8)) if data is None else data
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width % 2**32, height % 2**32, depth, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@functools.cache
def packed_zeros(megabytes: int) -> bytes:
    stream = zlib.compressobj(9)
    return b"".join(stream.compress(bytes(1 << 20)) for _ in range(megabytes)) + stream.flush()


PNGS: dict[str, Callable[[], bytes]] = {
    "huge": lambda: png(30_000, 30_000),
    "wide": lambda: png(2**31 - 1, 1),
    "widest": lambda: png(2**32 - 1, 2**32 - 1),
    "none": lambda: png(0, 8),
    "just within the limit": lambda: png(8192, 8192, data=packed_zeros(64)),
    "text bomb": lambda: png(extra=chunk(b"zTXt", b"a\0\0" + packed_zeros(300))),
    "many texts": lambda: png(extra=chunk(b"zTXt", b"a\0\0" + packed_zeros(1)[:-40]) * 300),
    "international text bomb": lambda: png(extra=chunk(b"iTXt", b"a\0\1\0\0\0" + packed_zeros(300))),
    "profile bomb": lambda: png(extra=chunk(b"iCCP", b"a\0\0" + packed_zeros(300))),
    "pixel bomb": lambda: png(data=packed_zeros(300)),
    "long palette": lambda: png(extra=chunk(b"PLTE", bytes(3 * 999))),
    "bad depth": lambda: png(depth=77),
    "exif": lambda: png(extra=chunk(b"eXIf", b"II*\0\xff\xff\xff\xff" + bytes(99))),
    "animation": lambda: png(extra=chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))),
    "sound": lambda: png(),
}


def image_among_others(make: Callable[[], bytes], rng: Rng, suffix: str = ".png") -> Files:
    return {**base("folder"), f"train/0/x{suffix}": make()}


CRAFTED.extend(("folder", f"image {name}", functools.partial(image_among_others, make)) for name, make in PNGS.items())


def sized(kind: str, where: int, form: str, value: int) -> bytes:
    """An image of another kind whose header says another width or height."""
    data = encoded(IMAGE[0], kind)
    if kind == "JPEG":
        where += data.index(b"\xff\xc0")
    packed = struct.pack(form, value)
    return data[:where] + packed + data[where + len(packed) :]


for form, where, code, values in (
    ("BMP", 18, "<i", (0, -8, 2**31 - 1, 30_000)),
    ("BMP", 22, "<i", (-8, -(2**31), 30_000)),
    ("GIF", 6, "<H", (0, 65_535)),
    ("JPEG", 5, ">H", (0, 65_535, 9)),
    ("JPEG", 7, ">H", (0, 65_535)),
    ("WEBP", 26, "<H", (0, 16_383)),
):
    for value in values:
        CRAFTED.append((
            "folder", f"image {form} with {value} at {where}",
            functools.partial(image_among_others, functools.partial(sized, form, where, code, value), suffix=f".{form.lower()}"),
        ))  # fmt: skip


def tiff(tag: int, value: int) -> bytes:
    """A TIFF file, one of whose entries has another value."""
    data = encoded(IMAGE[0], "TIFF")
    first = struct.unpack("<I", data[4:8])[0]
    count = struct.unpack("<H", data[first : first + 2])[0]
    for at in range(first + 2, first + 2 + 12 * count, 12):
        if struct.unpack("<H", data[at : at + 2])[0] == tag:
            return data[: at + 2] + struct.pack("<HII", 4, 1, value) + data[at + 12 :]
    return data


for tag in (256, 257, 258, 259, 262, 273, 277, 278, 279, 317):
    for value in (0, 65_535, 2**31, 2**32 - 1):
        CRAFTED.append((
            "folder", f"image TIFF with {value} in {tag}",
            functools.partial(image_among_others, functools.partial(tiff, tag, value), suffix=".tif"),
        ))  # fmt: skip


# Folders: names, and tables of labels.
def fifo(path: str) -> None:
    os.mkfifo(path)


PNG = encoded(IMAGE[0])
crafted(
    "folder",
    image_directory=lambda rng: {**base("folder"), "train/0/d.png": None, "train/1/e.png/f.png": PNG},
    image_loop=lambda rng: {**base("folder"), "train/0/loop.png": lambda path: os.symlink("loop.png", path)},
    image_link=lambda rng: {**base("folder"), "train/0/nowhere.png": lambda path: os.symlink("nowhere", path)},
    image_zeros=lambda rng: {**base("folder"), "train/0/zero.png": lambda path: os.symlink("/dev/zero", path)},
    image_pipe=lambda rng: {**base("folder"), "train/0/pipe.png": fifo},
    image_names=lambda rng: {
        **base("folder"), "train/0/ü\n\t.png": PNG, "train/ä/\u202e.png": PNG, "train/0/" + "n" * 200 + ".png": PNG,
        "train/1/" + os.fsdecode(b"\xff\xfe") + ".png": PNG, "train/" + os.fsdecode(b"\xc3") + "/a.png": PNG,
    },
    image_empty=lambda rng: {**base("folder"), "train/0/x.png": b"", "train/0/y.jpg": b""},
    all_empty=lambda rng: dict.fromkeys(base("folder"), b""),
)  # fmt: skip


def metadata(text: str | bytes, rng: Rng, table: str = "csv") -> Files:
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return {**base(f"flat-{table}"), f"train/metadata.{table}": data}


def csv_table(value: str) -> str:
    return "file_name,label\n" + "".join(f"{row:05d}.png,{value if row == 7 else row % 4}\n" for row in range(30))


def json_table(value: Any) -> str:
    return "".join(
        json.dumps({"file_name": f"{row:05d}.png", "label": value if row == 7 else row % 4}) + "\n" for row in range(30)
    )


each("flat-csv", "label", ODD, lambda value, rng: metadata(csv_table(value), rng))
each("flat-jsonl", "label", ODD_VALUES, lambda value, rng: metadata(json_table(value), rng, "jsonl"))
each("flat-jsonl", "all labels", ODD_VALUES, lambda value, rng: metadata(
    "".join(json.dumps({"file_name": f"{row:05d}.png", "label": value}) + "\n" for row in range(30)), rng, "jsonl"))  # fmt: skip
each("flat-jsonl", "text", ["[" * 100_000, '{"a":' * 100_000, "{" + "9" * 9999 + "}", '{"file_name": ' + "9" * 9999 + "}",
                            "[1]", "null", '{"file_name": 3, "label": 1}', '{"file_name": [1], "label": 1}', "\ufeff{}",
                            '{"file_name": "../../../etc/passwd", "label": 1}', '{"file_name": "\0", "label": 1}'],
     lambda text, rng: metadata(text, rng, "jsonl"))  # fmt: skip
each("flat-csv", "text", ["", "\n", "file_name\n", "file_name,label,label\na,1,2\n", "file_name,label\n\0,\0\n", '"', "\ufeff",
                          "file_name,label\r00001.png,1\r", 'file_name,label\n"' + "x" * 200_000, "a,b\n1,2,3,4\n",
                          "label,file_name\n1\n"], metadata)  # fmt: skip


def table_of(columns: dict[str, Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, **options)
    return buffer.getvalue()


NAMES = [f"{row:05d}.png" for row in range(30)]
STAMPS = pa.array([row % 4 for row in range(30)], pa.timestamp("s"))
#: Columns of labels as they should not be, or as they need not be.
COLUMNS: dict[str, Callable[[], Any]] = {
    "stamps": lambda: STAMPS,
    "dates": lambda: STAMPS.cast(pa.date32()),
    "lists": lambda: pa.array([[row % 4] for row in range(30)]),
    "nothing": lambda: pa.nulls(30),
    "some nulls": lambda: pa.array([None, 1, 2] * 10),
    "categories": lambda: pa.array(["a", "b", None] * 10).dictionary_encode(),
    "decimals": lambda: pa.array([row % 4 for row in range(30)], pa.decimal128(5, 0)),
    "floats": lambda: pa.array([float("nan"), 1.0, float("inf")] * 10),
    "fractions": lambda: pa.array([0.5, 1.0, -3.0] * 10),
    "truths": lambda: pa.array([True, False, None] * 10),
    "bytes": lambda: pa.array([b"\xff", b"a", None] * 10),
    "texts": lambda: pa.array(["T-shirt/top", "", "9" * 5000] * 10),
    "no texts": lambda: pa.array([b"\xff\xfe", b"a", b"b"] * 10).view(pa.string()),
    "negative": lambda: pa.array([-(2**63), -1, 2**63 - 1] * 10),
    "views": lambda: pa.array(["a", "b", None] * 10, pa.string_view()),
    "durations": lambda: pa.array([1, 2, 3] * 10, pa.duration("s")),
}
CRAFTED.extend(
    ("flat-parquet", f"label {name}",
     lambda rng, make=make: metadata(table_of({"file_name": NAMES, "label": make()}), rng, "parquet"))
    for name, make in COLUMNS.items()
)  # fmt: skip
crafted("flat-parquet", names=lambda rng: metadata(table_of({"file_name": STAMPS, "label": STAMPS}), rng, "parquet"))


# Parquet: columns of other types, nulls, bombs.
BYTES = [encoded(pixels) for pixels in IMAGE]
STRUCT = [{"bytes": data, "path": None} for data in BYTES]


def parquet(columns: dict[str, Any], **options: Any) -> Make:
    return lambda rng: {**base("parquet-binary"), "train-00000-of-00001.parquet": table_of(columns, **options)}


for name, make in COLUMNS.items():
    CRAFTED.append(("parquet", f"image label {name}", lambda rng, make=make: parquet(
        {"image": pa.array(BYTES), "label": make()})(rng)))  # fmt: skip
    CRAFTED.append(("parquet", f"image path {name}", lambda rng, make=make: {"x.parquet": table_of({"image": (
        pa.StructArray.from_arrays([pa.array(BYTES), make()], ["bytes", "path"]))})}))  # fmt: skip
crafted(
    "parquet",
    image_nulls=parquet({"image": pa.array([None, b"", *BYTES[2:]]), "label": LABEL}),
    image_null_structs=parquet({"image": pa.array([None, {"bytes": None, "path": "a"}, *STRUCT[2:]]), "label": LABEL}),
    image_large=parquet({"image": pa.array(BYTES, pa.large_binary()), "label": LABEL}),
    image_views=parquet({"image": pa.array(BYTES, pa.binary_view()), "label": LABEL}),
    image_texts=parquet({"image": pa.array(["a"] * 30), "label": LABEL}),
    image_missing=parquet({"label": LABEL}),
    image_twice=lambda rng: {"x.parquet": twice()},
    image_empty=parquet({"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())}),
    image_garbage=parquet({"image": pa.array([b"x"] * 30), "label": LABEL}),
    image_small_groups=parquet({"image": pa.array(BYTES), "label": LABEL}, row_group_size=1),
    image_other_columns=lambda rng: {
        **base("parquet-binary"), "test-00000-of-00001.parquet": table_of({"picture": BYTES, "kind": LABEL})
    },
    image_bomb=lambda rng: {**base("parquet-binary"), "x.parquet": parquet_bomb()},
    image_bombs_alone=lambda rng: {"x.parquet": parquet_bomb()},
    names_that_are_none=lambda rng: {"x.parquet": named_oddly(b'{"info": {"features": {"label": {"names": [1, 1]}}}}')},
    names_of_depth=lambda rng: {"x.parquet": named_oddly(b"[" * 100_000)},
    names_that_are_few=lambda rng: {"x.parquet": named_oddly(b'{"info": {"features": {"label": {"names": ["a"]}}}}')},
    directory=lambda rng: {**base("parquet"), "more.parquet/x.parquet": b"", "y.parquet": None},
)  # fmt: skip


def twice() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array(BYTES), pa.array(BYTES)], ["image", "image"]), buffer)
    return buffer.getvalue()


def named_oddly(text: bytes) -> bytes:
    table = pa.table({"image": BYTES, "label": LABEL})
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({b"huggingface": text}), buffer)
    return buffer.getvalue()


@functools.cache
def parquet_bomb() -> bytes:
    """Twelve values of 60 MB of zeros in some kilobytes."""
    buffer = io.BytesIO()
    schema = pa.schema([("image", pa.binary()), ("label", pa.int64())])
    with pq.ParquetWriter(buffer, schema, compression="zstd", use_dictionary=False, write_batch_size=1) as writer:
        for label in range(12):
            writer.write_batch(pa.record_batch([pa.array([bytes(60 << 20)]), pa.array([label])], schema=schema))
    return buffer.getvalue()


# Tar: members that are no files, names, extended headers, labels.
def shard(*members: Any) -> bytes:
    """A shard of three sound samples, then others: (name, data) or a header."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as tar:
        for row in range(3):
            add_to_tar(tar, f"{row}.png", BYTES[row])
            add_to_tar(tar, f"{row}.cls", b"%d" % row)
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                add_to_tar(tar, *member)
    return buffer.getvalue()


def header(name: str, kind: bytes, size: int = 0, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    if kind == tarfile.REGTYPE:
        info.size = size
    return info


def tar(*members: Any) -> Make:
    return lambda rng: {"train-0.tar": shard(*members)}


def raw_header(name: str, kind: bytes, size: int) -> bytes:
    """A header block with whatever size, with the checksum that it needs."""
    info = tarfile.TarInfo(name)
    info.type = kind
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = (
        b"\x80" + (size % 2**88).to_bytes(11, "big")
        if size >= 0
        else b"\xff" * 4 + size.to_bytes(8, "big", signed=True)
    )
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def longer(block: bytes) -> Make:
    """The same, with a block before the end."""
    return lambda rng: {"train-0.tar": shard()[: 3 * 4 * 512] + block + shard(("9.png", BYTES[9]))[3 * 4 * 512 :]}


crafted(
    "tar",
    image_traversal=tar(("../../../etc/passwd.png", BYTES[3]), ("../../x.cls", b"1"), ("/etc/y.png", BYTES[4])),
    image_links=tar(header("a.png", tarfile.SYMTYPE, link="/etc/passwd"), header("b.png", tarfile.LNKTYPE, link="0.png")),
    image_devices=tar(*(header(f"{at}x.png", kind) for at, kind in enumerate((tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)))),
    image_directory=tar(header("d.png", tarfile.DIRTYPE), ("d.png/e.png", BYTES[4])),
    image_two_of_one_key=tar(("a.png", BYTES[3]), ("a.jpg", BYTES[4]), ("a.cls", b"1")),
    image_no_label=tar(("a.png", BYTES[3])),
    image_label_alone=tar(("a.cls", b"2"), ("b.txt", b"no")),
    image_empty=tar(("a.png", b""), ("a.cls", b"")),
    image_odd_names=tar((os.fsdecode(b"\xff\xfe.png"), BYTES[3]), ("ü/\u202e.png", BYTES[4]), ("n" * 300 + ".png", BYTES[5])),
    image_hidden=tar((".png", BYTES[3]), ("..png", BYTES[3]), (" .png", BYTES[3])),
    image_deep_json=tar(("a.png", BYTES[3]), ("a.json", b"[" * 100_000)),
    image_huge_numbers=tar(("a.png", BYTES[3]), ("a.json", b'{"label": ' + b"9" * 4000 + b"}")),
    image_huger_numbers=tar(("a.png", BYTES[3]), ("a.json", b'{"label": ' + b"9" * 9000 + b"}"), ("b.png", BYTES[3]), ("b.cls", b"9" * 9000)),
    image_large_labels=tar(("a.png", BYTES[3]), ("a.json", b'{"label": "' + b"x" * 900_000 + b'"}')),
    image_long_name_without_end=longer(raw_header("././@LongLink", tarfile.GNUTYPE_LONGNAME, 2**40)),
    image_pax_without_end=longer(raw_header("x", tarfile.XHDTYPE, 2**40)),
    image_negative_size=longer(raw_header("x.png", tarfile.REGTYPE, -512)),
    image_negative_pax=longer(raw_header("x.png", tarfile.XHDTYPE, -512)),
    image_beyond=longer(raw_header("x.png", tarfile.REGTYPE, 2**33)),
    image_beyond_everything=longer(raw_header("x.png", tarfile.REGTYPE, 2**70)),
    image_swallowing=longer(raw_header("x.png", tarfile.REGTYPE, 700)),
    image_unknown_kind=longer(raw_header("x.png", b"Z", 0)),
    image_damaged_header=longer(b"\xff" * 512),
    image_pax_lies=lambda rng: {"train-0.tar": pax_lies({"size": "99999999999999"})},
    image_pax_negative=lambda rng: {"train-0.tar": pax_lies({"size": "-1024"})},
    image_pax_text=lambda rng: {"train-0.tar": pax_lies({"size": "many", "mtime": "nan"})},
    image_pax_sparse=lambda rng: {"train-0.tar": pax_lies({"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "999999999"})},
    image_pax_map=lambda rng: {"train-0.tar": pax_lies({"GNU.sparse.map": "0,10,x", "GNU.sparse.size": "-4"})},
    image_sparse=longer(raw_header("x.png", tarfile.GNUTYPE_SPARSE, 512) + bytes(512)),
    image_shard_of_nothing=lambda rng: {**base("tar"), "train-9999.tar": bytes(10_240)},
    image_no_shard=lambda rng: {**base("tar"), "train-9999.tar": b"x" * 10_240},
    directory=lambda rng: {**base("tar"), "more.tar/x.tar": b"", "y.tar.gz": None},
)  # fmt: skip
each("tar", "image label", ODD, lambda value, rng: tar(
    ("a.png", BYTES[3]), ("a.cls", value.encode("utf-8", "surrogatepass")))(rng))  # fmt: skip
each("tar", "image json label", ODD_VALUES, lambda value, rng: tar(
    ("a.png", BYTES[3]), ("a.json", json.dumps({"label": value}).encode()))(rng))  # fmt: skip


def pax_lies(headers: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as out:
        for row in range(4):
            info = tarfile.TarInfo(f"{row}.png")
            info.size = len(BYTES[row])
            info.pax_headers = headers if row == 2 else {}
            out.addfile(info, io.BytesIO(BYTES[row]))
    return buffer.getvalue()


crafted(
    "tar-gz",
    image_pax_bomb=lambda rng: {**base("tar-gz"), "x.tar.gz": zeros(700, raw_header("x", tarfile.XHDTYPE, 700 << 20))},
    image_name_bomb=lambda rng: {
        **base("tar-gz"), "x.tar.gz": zeros(700, raw_header("x", tarfile.GNUTYPE_LONGNAME, 700 << 20))
    },
    image_member_bomb=lambda rng: {
        **base("tar-gz"), "x.tar.gz": zeros(200, shard()[: 3 * 4 * 512] + raw_header("x.png", tarfile.REGTYPE, 200 << 20))
    },
    image_member_beyond=lambda rng: {
        **base("tar-gz"), "x.tar.gz": zeros(700, shard()[: 3 * 4 * 512] + raw_header("x.png", tarfile.REGTYPE, 700 << 20))
    },
    image_zeros=lambda rng: {**base("tar-gz"), "x.tar.gz": zeros(700)},
    image_zeros_behind=lambda rng: {"x.tar.gz": zeros(700, shard())},
    image_label_bomb=lambda rng: {
        **base("tar-gz"), "x.tar.gz": zeros(700, raw_header("x.cls", tarfile.REGTYPE, 700 << 20))
    },
)  # fmt: skip
