"""One run on workers that SLURM starts, by dask-jobqueue: `python dask_slurm.py`.

Jobs are submitted until WORKERS of them run, and again when they end; the commands take every worker that is there.
"""

import os
import subprocess

from dask_jobqueue import SLURMCluster

N, SEED, MODEL = (
    os.environ.get(name, default) for name, default in (("N", "10000"), ("SEED", "1"), ("MODEL", "symmcd"))
)
WORKERS = int(os.environ.get("WORKERS", "20"))

if __name__ == "__main__":
    with SLURMCluster(
        cores=1,  # one thread a process is all that crystaltool uses
        processes=1,
        memory="4GB",
        walltime="02:00:00",
        worker_extra_args=["--lifetime", "110m", "--lifetime-stagger", "5m"],  # end before SLURM ends them
    ) as cluster:
        cluster.adapt(minimum_jobs=WORKERS, maximum_jobs=WORKERS)
        workers = ["--scheduler", cluster.scheduler_address, "-j", str(WORKERS)]
        for words in (
            ["sample", MODEL, "-n", N, "--seed", SEED, "--no-provenance", "--resume", "-o", "all.cif"],
            ["check", "--json", "--exit-zero", "--resume", "-o", "checked.jsonl", "all.cif"],
            ["check", "--pass", "--exit-zero", "--resume", "-o", "valid.cif", "all.cif"],
        ):
            subprocess.run(["crystaltool", *words, *workers], check=True)
