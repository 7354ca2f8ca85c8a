"""What would be sent to Kubernetes fits the schema that the Dask operator publishes. No cluster of it was at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from fmnist_dask.cluster.classes import check_arguments, find_class
from fmnist_dask.cluster.config import load_cluster

pytestmark = pytest.mark.slow


def schema() -> dict[str, Any]:
    """Of the operator's resource DaskCluster."""
    package = pytest.importorskip("dask_kubernetes", reason="the extra kubernetes is not installed")
    (path,) = Path(package.__file__).parent.rglob("crds/daskcluster.yaml")
    definition = yaml.safe_load(path.read_text())
    (version,) = [version for version in definition["spec"]["versions"] if version["storage"]]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return found


def test_the_shipped_file_makes_a_valid_cluster():
    published = schema()
    validator = pytest.importorskip("jsonschema").Draft202012Validator(published)
    from dask_kubernetes.operator import make_cluster_spec

    config = load_cluster("kubernetes")
    check_arguments("kubernetes.yaml", find_class(config.module, config.class_name), config.kwargs)
    # KubeCluster gives an empty environment where a file has none.
    made = make_cluster_spec(**config.kwargs, env={}, n_workers=config.scale)
    validator.validate(made)
    (worker,) = made["spec"]["worker"]["spec"]["containers"]
    assert worker["image"] == config.kwargs["image"]
    assert worker["args"][:3] == ["dask-worker", "--nthreads", "1"]
    assert made["spec"]["worker"]["replicas"] == 4
    # The schema says something: a cluster that is wrong does not fit it.
    made["spec"]["worker"]["replicas"] = "four"
    assert list(validator.iter_errors(made))
