"""What tasks of a pass share is loaded once, and not kept."""

from __future__ import annotations

import pickle

from fmnist_dask.passes import shared
from fmnist_dask.passes.shared import Shared, forget_shared


def test_one_value_is_kept_at_a_time() -> None:
    one, two = (Shared(name, pickle.dumps([name])) for name in ("one", "two"))
    again = pickle.loads(pickle.dumps(one))
    assert again.load() is one.load()
    assert two.load() == ["two"]
    assert list(shared._kept) == ["two"]
    forget_shared()
    assert not shared._kept
    assert one.load() == ["one"]
    forget_shared()
