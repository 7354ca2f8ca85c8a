"""``fashion-mnist`` and ``mnist`` by name: from the data directory, the cache, or a checksummed download."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmnist_dask.collection.sources.idx import Idx, find_idx_files
from fmnist_dask.errors import SourceError

#: Directory that holds ``fashion-mnist/`` and ``mnist/``, looked at before the cache.
DATA_VARIABLE = "FMNIST_DASK_DATA"


@dataclass(frozen=True)
class DataSet:
    """A published data set: where its files are and what they must hash to."""

    title: str
    mirrors: tuple[str, ...]
    files: dict[str, str]
    class_names: tuple[str, ...]
    megabytes: int


DATA_SETS = {
    "fashion-mnist": DataSet(
        title="Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): 70,000 photographs of garments, 28×28, ten classes.",
        mirrors=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
        files={
            "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
        },
        class_names=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        megabytes=31,
    ),
    "mnist": DataSet(
        title="MNIST (LeCun, Cortes and Burges 1998): 70,000 handwritten digits, 28×28, ten classes.",
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        files={
            "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
        },
        class_names=tuple("0123456789"),
        megabytes=12,
    ),
}


def open_named(name: str, options: dict[str, Any] | None = None) -> Idx:
    """Open a data set by name: data directory, then cache, then download.

    Raises
    ------
    SourceError
        It is in none of these places and cannot be downloaded; the message names the ways out.
    """
    data_set = DATA_SETS[name]
    directory = _local(name) or _download(name, data_set)
    return Idx(directory, options, name=name, class_names=data_set.class_names, description=data_set.title)


def cache_directory() -> Path:
    """Where downloads are kept (``XDG_CACHE_HOME`` is respected)."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("fmnist-dask"))


def _local(name: str) -> Path | None:
    data = os.environ.get(DATA_VARIABLE)
    places = [Path(data).expanduser() / name] if data else []
    for place in [*places, cache_directory() / name]:
        found = find_idx_files(place) if place.is_dir() else {}
        if set(found) == {"train", "test"} and all(labels is not None for _, labels in found.values()):
            return place
    return None


def _download(name: str, data_set: DataSet) -> Path:
    import pooch
    import requests

    directory = cache_directory() / name
    reasons = []
    for mirror in data_set.mirrors:
        fetcher = pooch.create(path=directory, base_url=mirror, registry=data_set.files, retry_if_failed=1)
        try:
            for file in data_set.files:
                fetcher.fetch(file, downloader=pooch.HTTPDownloader(progressbar=True, timeout=20))
            return directory
        except (requests.RequestException, OSError, ValueError) as error:
            # ValueError: the checksum does not fit. The next mirror may be in order.
            reasons.append(f"{mirror}: {type(error).__name__}: {str(error).splitlines()[0][:160]}")
    raise SourceError(
        f"{name} ({data_set.megabytes} MB) could not be downloaded:\n    " + "\n    ".join(reasons),
        f"put its four IDX files into a directory and give that as the source; or set {DATA_VARIABLE} to a directory "
        f"that holds them under {name}/; or copy them to {directory}; or begin without data: --source garments",
    )
