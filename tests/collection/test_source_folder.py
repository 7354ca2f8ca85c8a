"""Folders of image files."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image
from support import random_images, stored

from fmnist_dask.collection.sources import encoded
from fmnist_dask.collection.sources.files import Files
from fmnist_dask.collection.sources.folder import Folder
from fmnist_dask.errors import SourceError, UsageError


def save(path, seed=0, size=(6, 5), mode="L"):
    """Write a random picture; returns its pixels."""
    shape = size if mode == "L" else (*size, len(mode))
    pixels = random_images(1, shape, seed=seed)[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def tree(root, *files, **options):
    """Write random PNG files, each of its own seed; returns {file: pixels}."""
    return {file: save(root / file, seed, **options) for seed, file in enumerate(files)}


def folder(path, **options):
    return Folder(Files.at(str(path)), options)


def read(source):
    """{file: (pixels, label, split)}, in row order."""
    found = {}
    for number, part in enumerate(source.partitions):
        for rows in source.read(number, 0, part.rows, 2):
            for at, name in enumerate(rows.source_name):
                label = None if rows.label is None else source.class_names[rows.label[at]]
                found[name] = (rows.image[at], label, part.split)
    return found


def test_splits_and_classes(tmp_path):
    files = tree(tmp_path, "test/dog/1.png", "train/cat/2.png", "train/dog/1.png", "train/cat/10.png", "test/cat/1.png")
    source = folder(tmp_path)
    found = read(source)
    assert list(found) == ["train/cat/10.png", "train/cat/2.png", "train/dog/1.png", "test/cat/1.png", "test/dog/1.png"]
    for name, (pixels, label, split) in found.items():
        assert (pixels == files[name]).all()
        assert [split, label] == name.split("/")[:2]
    assert source.class_names == ("cat", "dog")
    assert source.splits == {"train": 3, "test": 2}


def test_classes_alone(tmp_path):
    tree(tmp_path, "cat/a.png", "dog/b.png", "cat/deep/er/c.png")
    source = folder(tmp_path)
    assert {name: (label, split) for name, (_, label, split) in read(source).items()} == {
        "cat/a.png": ("cat", "all"),
        "cat/deep/er/c.png": ("cat", "all"),
        "dog/b.png": ("dog", "all"),
    }


def test_a_flat_folder_is_not_labelled(tmp_path):
    tree(tmp_path, "b.png", "a.png")
    source = folder(tmp_path)
    assert source.class_names == ()
    assert {name: label for name, (_, label, _) in read(source).items()} == {"a.png": None, "b.png": None}
    assert stored(source, tmp_path / "x.zarr").read("source_name", 0, 2).tolist() == ["a.png", "b.png"]


def test_splits_without_classes(tmp_path):
    tree(tmp_path, "train/a.png", "val/b.png")
    source = folder(tmp_path)
    assert (source.splits, source.class_names) == ({"train": 1, "validation": 1}, ())


def test_hidden_files_and_other_files_are_left_out(tmp_path):
    tree(tmp_path, "a.png", ".b.png", ".thumbnails/c.png", "d/.e/f.png", "g/h.PNG")
    (tmp_path / "notes.txt").write_text("")
    assert folder(tmp_path).paths == ["a.png", "g/h.PNG"]


@pytest.mark.parametrize(("modes", "shape"), [(["L", "L"], (6, 5)), (["RGB", "L"], (6, 5, 3)), (["RGB"], (6, 5, 3))])
def test_one_colour_image_makes_a_collection_of_colour(tmp_path, modes, shape):
    files = [save(tmp_path / f"{at}.png", at, mode=mode) for at, mode in enumerate(modes)]
    source = folder(tmp_path)
    assert source.image_shape == shape
    for (pixels, _, _), original in zip(read(source).values(), files, strict=True):
        grey_in_colour = len(shape) == 3 and original.ndim == 2
        assert (pixels == (original[..., None] if grey_in_colour else original)).all()


def test_jpeg_files_are_read(tmp_path):
    Image.fromarray(np.full((6, 5), 77, np.uint8)).save(tmp_path / "a.jpg", quality=95)
    ((pixels, _, _),) = read(folder(tmp_path)).values()
    assert np.abs(pixels.astype(int) - 77).max() <= 1


def test_rows_from_the_middle(tmp_path):
    files = tree(tmp_path, *(f"{row:02d}.png" for row in range(9)))
    batches = list(folder(tmp_path).read(0, 3, 8, 2))
    assert [len(rows.image) for rows in batches] == [2, 2, 1]
    assert (np.concatenate([rows.image for rows in batches]) == np.stack(list(files.values())[3:8])).all()


def test_the_fingerprint_follows_the_files(tmp_path):
    tree(tmp_path, "a.png", "b.png")
    first = folder(tmp_path).fingerprint
    assert folder(tmp_path).fingerprint == first
    os.utime(tmp_path / "b.png", (1, 1))
    second = folder(tmp_path).fingerprint
    (tmp_path / "b.png").rename(tmp_path / "c.png")
    assert len({first, second, folder(tmp_path).fingerprint}) == 3


def test_mixed_sizes_are_refused_with_their_distribution(tmp_path):
    tree(tmp_path, *(f"a{row}.png" for row in range(5)))
    tree(tmp_path, "b.png", "c.png", size=(9, 4))
    with pytest.raises(SourceError, match=r"not of one size.*6×5: 5, 9×4: 2(.|\n)*remedy: bring them to one size"):
        folder(tmp_path)


def test_many_sizes_are_summed_up(tmp_path):
    for row in range(9):
        save(tmp_path / f"{row}.png", size=(5 + row, 5))
    with pytest.raises(SourceError, match="and 3 more sizes"):
        folder(tmp_path)


def test_a_size_that_the_first_look_missed_is_found_while_reading(tmp_path, monkeypatch):
    tree(tmp_path, "0.png", "1.png", "2.png")
    save(tmp_path / "1.png", size=(9, 9))
    monkeypatch.setattr(encoded, "PROBED", 2)
    with pytest.raises(SourceError, match=r"6×5: 2, 9×9: 1"):
        read(folder(tmp_path))


def not_an_image(path):
    path.write_bytes(b"this is no picture")


def empty(path):
    path.write_bytes(b"")


def cut_off(path):
    save(path, size=(60, 50))
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [(not_an_image, "not an image of a known format"), (empty, "the file is empty"), (cut_off, "truncated")],
)
def test_a_corrupt_image_is_quarantined_with_its_reason(tmp_path, damage, reason):
    good = tree(tmp_path, "a.png", "c.png", size=(60, 50))
    damage(tmp_path / "b.png")
    (rows,) = folder(tmp_path).read(0, 0, 3, 5)
    assert rows.source_name.tolist() == ["a.png", "b.png", "c.png"]
    assert list(rows.rejected) == [1]
    assert reason in rows.rejected[1]
    np.testing.assert_array_equal(rows.image, np.stack([good["a.png"], np.zeros((60, 50), np.uint8), good["c.png"]]))


@pytest.mark.parametrize("damage", [not_an_image, empty, cut_off])
def test_a_corrupt_image_stops_the_ingest_if_asked(tmp_path, damage):
    tree(tmp_path, "a.png", "c.png", size=(60, 50))
    damage(tmp_path / "b.png")
    with pytest.raises(SourceError, match=r"b\.png of .* cannot be read: (.|\n)*remedy: remove or replace it"):
        read(folder(tmp_path, on_error="fail"))


def test_an_image_beyond_the_limit_is_quarantined_before_it_is_decoded(tmp_path):
    tree(tmp_path, "a.png")
    tree(tmp_path, "big.png", size=(300, 200))
    (rows,) = folder(tmp_path, size="6x5", max_pixels=59_999).read(0, 0, 2, 5)
    assert rows.rejected == {1: "300 × 200 pixels; the limit is 59,999 in all (max_pixels)"}


def test_where_nothing_can_be_read_the_first_reason_is_said(tmp_path):
    for name in ("a.png", "b.png"):
        not_an_image(tmp_path / name)
    with pytest.raises(SourceError, match=r"none of 2 images .* the first, a.png: not an image of a known format"):
        folder(tmp_path)


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"holds no image files \(.bmp, .gif(.|\n)*remedy"):
        folder(tmp_path)


def test_unknown_options_are_refused(tmp_path):
    tree(tmp_path, "a.png")
    with pytest.raises(UsageError, match='the source folder has no option "color"'):
        folder(tmp_path, color="grey")


@pytest.mark.parametrize("colour_beside_it", [False, True])
def test_16_bit_images_keep_their_contrast(tmp_path, colour_beside_it):
    """65,535 is white and half of it grey; Pillow's own conversion would make both white."""
    Image.fromarray(np.array([[0, 32768, 65535]] * 3, np.uint16)).save(tmp_path / "a.png")
    if colour_beside_it:
        save(tmp_path / "b.png", size=(3, 3), mode="RGB")
    pixels, _, _ = read(folder(tmp_path))["a.png"]
    assert pixels.reshape(3, 3, -1)[0, :, 0].tolist() == [0, 128, 255]


def test_a_stray_among_labelled_images_is_an_error_not_another_layout(tmp_path):
    tree(tmp_path, *(f"train/cat/{number}.png" for number in range(30)), "stray.png")
    with pytest.raises(SourceError, match=r"1 of 31 images .* lie outside a folder of a split: stray.png"):
        folder(tmp_path)


def test_splits_are_called_alike_in_any_spelling(tmp_path):
    tree(tmp_path, "Train/cat/a.png", "VALID/cat/b.png")
    assert folder(tmp_path).splits == {"train": 1, "validation": 1}


def test_a_picture_on_its_side_is_turned_upright(tmp_path):
    picture = np.zeros((4, 6), np.uint8)
    picture[0] = 255
    turned = Image.fromarray(picture.T[:, ::-1].copy())
    exif = Image.Exif()
    exif[0x0112] = 8  # the camera was turned: show it rotated by 90 degrees
    turned.save(tmp_path / "a.png", exif=exif)
    source = folder(tmp_path)
    assert source.image_shape == (4, 6)
    np.testing.assert_array_equal(next(iter(source.read(0, 0, 1, 1))).image[0], picture)


def table(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_table_of_labels_goes_before_folders(tmp_path):
    tree(tmp_path, "x/a.png", "x/b.png", "y/c.png")
    table(tmp_path / "metadata.csv", "file_name,label\nx/a.png,shoe\nx/b.png,bag\ny/c.png,\n")
    source = folder(tmp_path)
    (rows,) = source.read(0, 0, 3, 5)
    assert source.class_names == ("bag", "shoe")
    assert rows.label.tolist() == [1, 0, -1]


def test_a_column_of_labels_may_be_named(tmp_path):
    tree(tmp_path, "a.png", "b.png")
    table(tmp_path / "metadata.jsonl", '{"file_name": "a.png", "kind": 1}\n{"file_name": "b.png", "kind": 0}\n')
    assert folder(tmp_path).class_names == ()
    (rows,) = folder(tmp_path, label_column="kind", class_names="cat,dog").read(0, 0, 2, 5)
    assert rows.label.tolist() == [1, 0]
    with pytest.raises(UsageError, match=r"no column 'kin' \(label_column\)(.|\n)*kind"):
        folder(tmp_path, label_column="kin")


@pytest.mark.parametrize(
    ("text", "reason"),
    [("name,label\na.png,1\n", "has no column file_name"), ("\xff\xfe", "has no column file_name")],
)
def test_a_table_without_file_names_is_refused(tmp_path, text, reason):
    tree(tmp_path, "a.png")
    table(tmp_path / "metadata.csv", text)
    with pytest.raises(SourceError, match=reason):
        folder(tmp_path)


def test_a_label_that_is_no_class_is_quarantined(tmp_path):
    names = [f"{at:02d}.png" for at in range(40)]
    tree(tmp_path, *names)
    lines = [f"{name},{at % 4}" for at, name in enumerate(names[:-1])] + ["39.png,Purse"]
    table(tmp_path / "metadata.csv", "file_name,label\n" + "\n".join(lines))
    source = folder(tmp_path)
    (rows,) = source.read(0, 0, 40, 40)
    assert source.class_names == ("0", "1", "2", "3")
    assert rows.rejected == {39: "its label 'Purse' is none of the 4 classes"}


@pytest.mark.parametrize(
    ("mode", "shape"), [("auto", (6, 5, 3)), ("gray", (6, 5)), ("rgb", (6, 5, 3)), ("keep", (6, 5, 4))]
)
def test_modes(tmp_path, mode, shape):
    save(tmp_path / "a.png", 0, mode="RGBA")
    save(tmp_path / "b.png", 1, mode="RGB")
    source = folder(tmp_path, mode=mode)
    assert source.image_shape == shape
    (rows,) = source.read(0, 0, 2, 5)
    assert rows.rejected == {}
    opaque = np.asarray(Image.open(tmp_path / "b.png").convert({"gray": "L", "keep": "RGBA"}.get(mode, "RGB")))
    np.testing.assert_array_equal(rows.image[1], opaque)


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_sizes_are_brought_to_one_canvas_and_kept_beside_it(tmp_path, fit):
    save(tmp_path / "a.png", 0, size=(20, 10))
    save(tmp_path / "b.png", 1, size=(8, 8))
    Image.fromarray(np.full((10, 30), 200, np.uint8)).save(tmp_path / "c.png")
    source = folder(tmp_path, size="8x8", fit=fit, background=7)
    found = stored(source, tmp_path / "x.zarr")
    assert found.image_shape == (8, 8)
    assert found.read("height", 0, 3).tolist() == [20, 8, 10]
    assert found.read("width", 0, 3).tolist() == [10, 8, 30]
    bar = found.read("image", 0, 3)[2]
    rows = {"pad": [7, 7, 200, 200, 200, 7, 7, 7], "crop": [200] * 8, "stretch": [200] * 8}[fit]
    assert sorted(bar[:, 3].tolist()) == sorted(rows)


@pytest.mark.parametrize("age", [0, 3600], ids=["just made", "an hour old"])
@pytest.mark.parametrize("change", ["added", "renamed", "removed", "in an empty folder"])
def test_files_that_come_and_go_during_an_ingest_are_noticed(tmp_path, age, change):
    """Directories that have not changed for a while are told by their times alone; others by the names in them."""
    tree(tmp_path, "train/cat/1.png", "train/cat/2.png", "train/dog/1.png")
    (tmp_path / "train" / "empty").mkdir()
    for place in [tmp_path, *tmp_path.rglob("*")]:
        then = place.stat().st_mtime - age
        os.utime(place, (then, then))
    source = folder(tmp_path)
    assert source.listing.has_same_names() == (age > 0)
    assert not source.has_changed()
    (tmp_path / "train" / "dog" / ".hidden").touch()
    assert not source.listing.has_same_names()
    assert not source.has_changed()
    cats = tmp_path / "train" / "cat"
    match change:
        case "added":
            save(cats / "3.png")
        case "renamed":
            (cats / "1.png").rename(cats / "4.png")
        case "removed":
            (cats / "1.png").unlink()
        case _:
            save(tmp_path / "train" / "empty" / "1.png")
    assert source.has_changed()
