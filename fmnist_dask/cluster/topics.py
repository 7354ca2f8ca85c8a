"""Names that driver and scheduler both know."""

#: What topics of runs begin with, in the scheduler's event log: one topic a run, full snapshots.
RUN_TOPIC = "fmnist-dask-run-"
