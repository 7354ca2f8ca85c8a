"""Which steps of a run are still to be done."""

from __future__ import annotations

from collections.abc import Sequence

from fmnist_dask.workflow.fingerprint import step_fingerprint
from fmnist_dask.workflow.image_tables import update_image_tables
from fmnist_dask.workflow.inputs import Stored
from fmnist_dask.workflow.load import prerequisites
from fmnist_dask.workflow.model import Workflow
from fmnist_dask.workflow.order import ordered
from fmnist_dask.workflow.publish import withdraw
from fmnist_dask.workflow.record import fresh_step
from fmnist_dask.workflow.registry import find_step
from fmnist_dask.workflow.rundir import PUBLISHED, RunDirectory


def pending_steps(
    run: RunDirectory, workflow: Workflow, collection: Stored, chosen: Sequence[str], force: bool
) -> list[str]:
    """Steps to run; those whose published result still holds are marked REUSED, those not chosen SKIPPED.

    Parameters
    ----------
    force
        Forget published results of chosen steps.
    """
    fingerprints: dict[str, str] = {}
    pending, touched = [], set[str](run.manifest.get("stale_tables", []))
    for name in ordered(workflow):
        spec = workflow.steps[name]
        inputs = {needed: fingerprints[needed] for needed in sorted(prerequisites(spec, workflow))}
        fingerprint = step_fingerprint(find_step(spec.uses), spec, collection.fingerprint, workflow.seed, inputs)
        fingerprints[name] = fingerprint
        record = run.manifest["steps"][name]
        holds = record["status"] in PUBLISHED and record["fingerprint"] == fingerprint
        forget = force and name in chosen
        if holds and not forget and (run.results / name).is_dir():
            record["status"] = "REUSED"
            continue
        withdraw(run, name, record.get("tables", []), record.get("pictures", []))
        touched |= record.get("image_tables", {}).keys()
        fresh = fresh_step(workflow, name) | {"fingerprint": fingerprint}
        if collection.split_code(spec.split) is None:
            fresh["split"] = "all"
        if name in chosen:
            pending.append(name)
        else:
            fresh["status"] = "SKIPPED"
        run.manifest["steps"][name] = fresh
    update_image_tables(run, sorted(touched), collection)
    run.manifest["stale_tables"] = []
    run.save()
    return pending
