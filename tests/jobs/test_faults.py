"""Submitted runs on three worker processes, each with one fault at a random moment: the same results, nothing left."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults import FAULTS, Place, contents, fill_disk, left_over, survive

#: Seconds into a run in which harm is done; an undisturbed one takes longer.
MOMENTS = (0.0, 14.0)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a run without faults comes to."""
    place = Place(tmp_path_factory.mktemp("undisturbed"))
    snapshot = survive(place, lambda place, chance: None, 0.0, random.Random(0))
    assert snapshot["resumed"] == 0
    assert left_over(place) == []
    return contents(place)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on a file system of 96 MB: a run takes up to 60."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a file system cannot be mounted here (root can)")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def disturb(place: Place, seed: int) -> dict[str, Any]:
    chance = random.Random(seed)
    names = [name for name in sorted(FAULTS) if name != "fill_disk" or os.path.ismount(place.path / "disk")]
    name, moment = names[seed % len(names)], chance.uniform(*MOMENTS)
    snapshot = survive(place, FAULTS[name], moment, chance)
    print(f"seed {seed}: {name} after {moment:.1f} s, resumed {snapshot['resumed']} times")
    return snapshot


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 5))])
def test_a_fault_changes_nothing(
    seed: int, tmp_path: Path, undisturbed: dict[str, str], request: pytest.FixtureRequest
) -> None:
    if os.geteuid() == 0:
        request.getfixturevalue("small_disk")
    place = Place(tmp_path)
    disturb(place, seed)
    assert left_over(place) == []
    assert contents(place) == undisturbed


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(6000)
def test_fifty_random_faults_change_nothing(
    tmp_path: Path, undisturbed: dict[str, str], small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On request: about a quarter of an hour."""
    for seed in range(5, 55):
        for left in small_disk.iterdir():
            subprocess.run(["rm", "-rf", str(left)], check=True)
        place = Place(tmp_path)
        subprocess.run(["rm", "-rf", str(tmp_path / "store.zarr")], check=True)
        with capsys.disabled():
            disturb(place, seed)
        assert left_over(place) == []
        assert contents(place) == undisturbed


@pytest.mark.slow
@pytest.mark.long
def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path, undisturbed: dict[str, str], small_disk: Path) -> None:
    place = Place(tmp_path)
    survive(place, fill_disk, 9.0, random.Random(1))
    assert left_over(place) == []
    assert contents(place) == undisturbed
