"""Folders of image files."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image
from support import random_images, stored

from fmnist_dask.collection.sources import folder
from fmnist_dask.collection.sources.folder import Folder, list_images
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
    source = Folder(tmp_path)
    found = read(source)
    assert list(found) == ["train/cat/10.png", "train/cat/2.png", "train/dog/1.png", "test/cat/1.png", "test/dog/1.png"]
    for name, (pixels, label, split) in found.items():
        assert (pixels == files[name]).all()
        assert [split, label] == name.split("/")[:2]
    assert source.class_names == ("cat", "dog")
    assert source.splits == {"train": 3, "test": 2}


def test_classes_alone(tmp_path):
    tree(tmp_path, "cat/a.png", "dog/b.png", "cat/deep/er/c.png")
    source = Folder(tmp_path)
    assert {name: (label, split) for name, (_, label, split) in read(source).items()} == {
        "cat/a.png": ("cat", "all"),
        "cat/deep/er/c.png": ("cat", "all"),
        "dog/b.png": ("dog", "all"),
    }


def test_a_flat_folder_is_not_labelled(tmp_path):
    tree(tmp_path, "b.png", "a.png")
    source = Folder(tmp_path)
    assert source.class_names == ()
    assert {name: label for name, (_, label, _) in read(source).items()} == {"a.png": None, "b.png": None}
    assert stored(source, tmp_path / "x.zarr").read("source_name", 0, 2).tolist() == ["a.png", "b.png"]


def test_splits_without_classes(tmp_path):
    tree(tmp_path, "train/a.png", "val/b.png")
    source = Folder(tmp_path)
    assert (source.splits, source.class_names) == ({"train": 1, "validation": 1}, ())


def test_hidden_files_and_other_files_are_left_out(tmp_path):
    tree(tmp_path, "a.png", ".b.png", ".thumbnails/c.png", "d/.e/f.png", "g/h.PNG")
    (tmp_path / "notes.txt").write_text("")
    assert list_images(tmp_path) == ["a.png", "g/h.PNG"]


@pytest.mark.parametrize(("modes", "shape"), [(["L", "L"], (6, 5)), (["RGB", "L"], (6, 5, 3)), (["RGB"], (6, 5, 3))])
def test_one_colour_image_makes_a_collection_of_colour(tmp_path, modes, shape):
    files = [save(tmp_path / f"{at}.png", at, mode=mode) for at, mode in enumerate(modes)]
    source = Folder(tmp_path)
    assert source.image_shape == shape
    for (pixels, _, _), original in zip(read(source).values(), files, strict=True):
        grey_in_colour = len(shape) == 3 and original.ndim == 2
        assert (pixels == (original[..., None] if grey_in_colour else original)).all()


def test_jpeg_files_are_read(tmp_path):
    Image.fromarray(np.full((6, 5), 77, np.uint8)).save(tmp_path / "a.jpg", quality=95)
    ((pixels, _, _),) = read(Folder(tmp_path)).values()
    assert np.abs(pixels.astype(int) - 77).max() <= 1


def test_rows_from_the_middle(tmp_path):
    files = tree(tmp_path, *(f"{row:02d}.png" for row in range(9)))
    batches = list(Folder(tmp_path).read(0, 3, 8, 2))
    assert [len(rows.image) for rows in batches] == [2, 2, 1]
    assert (np.concatenate([rows.image for rows in batches]) == np.stack(list(files.values())[3:8])).all()


def test_the_fingerprint_follows_the_files(tmp_path):
    tree(tmp_path, "a.png", "b.png")
    first = Folder(tmp_path).fingerprint
    assert Folder(tmp_path).fingerprint == first
    os.utime(tmp_path / "b.png", (1, 1))
    second = Folder(tmp_path).fingerprint
    (tmp_path / "b.png").rename(tmp_path / "c.png")
    assert len({first, second, Folder(tmp_path).fingerprint}) == 3


def test_mixed_sizes_are_refused_with_their_distribution(tmp_path):
    tree(tmp_path, *(f"a{row}.png" for row in range(5)))
    tree(tmp_path, "b.png", "c.png", size=(9, 4))
    with pytest.raises(SourceError, match=r"not of one size.*6×5: 5, 9×4: 2(.|\n)*remedy: bring them to one size"):
        Folder(tmp_path)


def test_many_sizes_are_summed_up(tmp_path):
    for row in range(9):
        save(tmp_path / f"{row}.png", size=(5 + row, 5))
    with pytest.raises(SourceError, match="and 3 more sizes"):
        Folder(tmp_path)


def test_a_size_that_the_first_look_missed_is_found_while_reading(tmp_path, monkeypatch):
    tree(tmp_path, "0.png", "1.png", "2.png")
    save(tmp_path / "1.png", size=(9, 9))
    monkeypatch.setattr(folder, "PROBED", 2)
    with pytest.raises(SourceError, match=r"6×5: 2, 9×9: 1"):
        read(Folder(tmp_path))


def not_an_image(path):
    path.write_bytes(b"this is no picture")


def empty(path):
    path.write_bytes(b"")


def cut_off(path):
    save(path, size=(60, 50))
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize("damage", [not_an_image, empty, cut_off])
def test_a_corrupt_image_is_named(tmp_path, damage):
    tree(tmp_path, "a.png", "c.png", size=(60, 50))
    damage(tmp_path / "b.png")
    with pytest.raises(SourceError, match=rf"{tmp_path}/b\.png(.|\n)*remedy: remove or replace the file"):
        read(Folder(tmp_path))


def test_an_image_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "MAX_PIXELS", 25)
    tree(tmp_path, "a.png")
    with pytest.raises(SourceError, match=r"a\.png has 5 × 6 pixels; the limit is 25"):
        Folder(tmp_path)


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"holds no PNG or JPEG file(.|\n)*remedy"):
        Folder(tmp_path)


def test_a_folder_has_no_options(tmp_path):
    tree(tmp_path, "a.png")
    with pytest.raises(UsageError, match='the source folder has no option "color"'):
        Folder(tmp_path, {"color": "grey"})


@pytest.mark.parametrize("colour_beside_it", [False, True])
def test_16_bit_images_keep_their_contrast(tmp_path, colour_beside_it):
    """65,535 is white and half of it grey; Pillow's own conversion would make both white."""
    Image.fromarray(np.array([[0, 32768, 65535]] * 3, np.uint16)).save(tmp_path / "a.png")
    if colour_beside_it:
        save(tmp_path / "b.png", size=(3, 3), mode="RGB")
    pixels, _, _ = read(Folder(tmp_path))["a.png"]
    assert pixels.reshape(3, 3, -1)[0, :, 0].tolist() == [0, 128, 255]


def test_a_stray_among_labelled_images_is_an_error_not_another_layout(tmp_path):
    tree(tmp_path, *(f"train/cat/{number}.png" for number in range(30)), "stray.png")
    with pytest.raises(SourceError, match=r"1 of 31 images .* lie outside a folder of a split: stray.png"):
        Folder(tmp_path)


def test_splits_are_called_alike_in_any_spelling(tmp_path):
    tree(tmp_path, "Train/cat/a.png", "VALID/cat/b.png")
    assert Folder(tmp_path).splits == {"train": 1, "validation": 1}


def test_a_picture_on_its_side_is_turned_upright(tmp_path):
    picture = np.zeros((4, 6), np.uint8)
    picture[0] = 255
    turned = Image.fromarray(picture.T[:, ::-1].copy())
    exif = Image.Exif()
    exif[0x0112] = 8  # the camera was turned: show it rotated by 90 degrees
    turned.save(tmp_path / "a.png", exif=exif)
    source = Folder(tmp_path)
    assert source.image_shape == (4, 6)
    np.testing.assert_array_equal(next(iter(source.read(0, 0, 1, 1))).image[0], picture)
