"""Damaged and malicious inputs: whatever is in them, they are read, quarantined or refused; nothing else happens."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from crafted import CRAFTED
from mutated import LIMIT
from mutating import KINDS

SCRIPT = Path(__file__).parents[1] / "mutated.py"
N_INPUTS = 2000
#: In everyday tests one of so many; a prime, so that all formats and kinds of damage come along.
SAMPLED = 17
#: Seconds that an input may take. Most take a hundredth; the largest bombs, of 700 MB, some seconds.
LONGEST = 60


def outcomes(first: int, step: int) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """What became of every ``step``-th input; a process that dies or hangs tells by which."""
    command = [sys.executable, str(SCRIPT), str(first), str(N_INPUTS), str(step)]
    count = len(range(first, N_INPUTS, step))
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST + count / 4, check=False)
    except subprocess.TimeoutExpired as error:
        said = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        pytest.fail(f"no end after {said.splitlines()[-1:]}")
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert ran.returncode == 0, f"after {lines[-1:]}: {ran.stderr[-1000:]}"
    return [line for line in lines if "number" in line], lines[-1]


def check(found: list[dict[str, Any]], memory: dict[str, int], count: int) -> None:
    assert len(found) == count
    failed = [line for line in found if line["outcome"] not in ("read", "refused")]
    assert not failed, json.dumps(failed[:5], indent=1)
    slow = [line for line in found if line["seconds"] > LONGEST]
    assert not slow, slow
    assert memory["peak"] <= LIMIT
    # The inputs are no strawmen: many are read whole, many in part, many not at all, in every format.
    assert Counter(line["outcome"] for line in found)["refused"] > count / 10
    assert sum(line.get("quarantined", 0) > 0 for line in found) > count / 10
    assert sum(line.get("quarantined") == 0 for line in found) > count / 10
    assert {line["kind"] for line in found} >= set(KINDS)


@pytest.mark.slow
def test_a_sample_of_damaged_inputs_is_read_or_quarantined_or_refused() -> None:
    found, memory = outcomes(3, SAMPLED)
    check(found, memory, len(range(3, N_INPUTS, SAMPLED)))


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_all_damaged_inputs_are_read_or_quarantined_or_refused() -> None:
    found, memory = outcomes(0, 1)
    check(found, memory, N_INPUTS)
    assert len({line["what"] for line in found}) > len(CRAFTED)
