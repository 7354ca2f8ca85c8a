#!/usr/bin/env bash
# Runs the tests of SLURM on this machine (Debian, as root): one node, its own munged, slurmctld and slurmd in a temporary
# directory, nothing of a SLURM that may be set up here already is touched.
set -euo pipefail
cd "$(dirname "$0")/../.."
for program in munged slurmctld slurmd; do
    command -v "$program" >/dev/null || [ -x "/usr/sbin/$program" ] || missing=1
done
if [ -n "${missing:-}" ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge
fi
uv run --extra test pytest -n 0 -m slow tests/cluster/test_slurm.py "$@"
