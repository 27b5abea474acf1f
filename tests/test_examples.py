"""The campaigns of `examples/` run: by the scheduler where it is installed, else by a stand-in that starts their jobs.

Each must leave what one run leaves, also when it was killed half way and started again.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, TOOL, tool_environment
from tests.models.tiny import trained_folder

EXAMPLES = ROOT / "examples"
N, SHARDS = 6, 2

PARALLEL = r"""#!/bin/bash
# Stand-in for GNU parallel: the command with {} replaced, an argument behind ::: at a time.
while [[ $1 == --* ]]; do shift 2; done
command=()
while [[ $1 != ::: ]]; do command+=("$1"); shift; done
shift
for argument in "$@"; do
    bash -c "${command[*]//\{\}/$argument}" || exit
done
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture
def place(tmp_path: Path, model: Path) -> tuple[Path, dict[str, str]]:
    """An empty folder, and an environment with `crystaltool` and the stand-ins in its path."""
    tools = tmp_path / "bin"
    tools.mkdir()
    words = " ".join(f"'{word}'" for word in map(str, TOOL))
    (tools / "crystaltool").write_text(f'#!/bin/bash\nexec {words} "$@"\n')
    if shutil.which("parallel") is None:
        (tools / "parallel").write_text(PARALLEL)
    for tool in tools.iterdir():
        tool.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    environment = tool_environment() | {"N": str(N), "SEED": "5", "MODEL": str(model), "SHARDS": str(SHARDS)}
    environment["PATH"] = f"{tools}{os.pathsep}{os.environ['PATH']}"
    return work, environment


def bash(place: tuple[Path, dict[str, str]], command: str, **more: str) -> None:
    work, environment = place
    done = subprocess.run(
        ["bash", "-c", command], cwd=work, env=environment | more, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr


def slurm(place: tuple[Path, dict[str, str]]) -> None:
    """Every task of the array, as slurmd starts them."""
    assert re.search(r"(?m)^#SBATCH --array=1-\d+$", (EXAMPLES / "array.slurm").read_text())
    for task in range(1, SHARDS + 1):
        numbers = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": str(SHARDS)}
        bash(place, f"bash {EXAMPLES}/array.slurm", **numbers)
    bash(place, f"bash {EXAMPLES}/join.sh")


def parallel(place: tuple[Path, dict[str, str]]) -> None:
    bash(place, f"{EXAMPLES}/parallel.sh {SHARDS}")


def snakemake(place: tuple[Path, dict[str, str]]) -> None:
    """Snakemake, or its rules read here: what a target needs is made first, then its shell command runs."""
    if shutil.which("snakemake"):
        bash(place, f"snakemake --cores 1 --snakefile {EXAMPLES}/Snakefile")
        return
    (place[0] / "run.py").write_text(SNAKE)
    bash(place, f"{sys.executable} run.py {EXAMPLES}/Snakefile")


SNAKE = r"""
import re, subprocess, sys, types
from pathlib import Path

head, *rules = re.split(r"(?m)^rule (\w+):\n", Path(sys.argv[1]).read_text())
scope = {"expand": lambda text, part: [text.replace("{part}", one) for one in part]}
exec(head, scope)
RULES = {}
for name, body in zip(rules[::2], rules[1::2]):
    sections = re.split(r"(?m)^    (\w+):\n", body)[1:]
    RULES[name] = {key: eval(f"collect({value.strip()})", scope | {"collect": lambda *a, **k: (a, k)})
                   for key, value in zip(sections[::2], sections[1::2])}

def flat(section):
    values = [*section[0], *section[1].values()]
    return [x for v in values for x in (v if isinstance(v, list) else [v])]

class Listed(list):
    def __str__(self):
        return " ".join(self)

def noun(section, part):
    found = Listed(x.replace("{part}", part) for x in flat(section))
    for key, value in section[1].items():
        values = value if isinstance(value, list) else [value]
        setattr(found, key, Listed(x.replace("{part}", part) for x in values))
    return found

def make(target):
    if Path(target).exists():
        return
    for rule in RULES.values():
        for output in flat(rule.get("output", ((), {}))):
            match = re.fullmatch(re.escape(output).replace(r"\{part\}", r"(?P<part>[^./]+)"), target)
            if match:
                part = match.groupdict().get("part", "")
                needs = noun(rule.get("input", ((), {})), part)
                for need in needs:
                    make(need)
                wildcards = types.SimpleNamespace(part=part)
                params = {k: v(wildcards) for k, v in rule.get("params", ((), {}))[1].items()}
                names = {**scope, "input": needs, "output": noun(rule["output"], part),
                         "params": types.SimpleNamespace(**params)}
                Path(target).parent.mkdir(exist_ok=True, parents=True)
                subprocess.run(rule["shell"][0][0].format(**names), shell=True, check=True)
                return
    raise SystemExit(f"no rule makes {target}")

for target in flat(RULES["all"]["input"]):
    make(target)
"""


SLURM_CLUSTER = """
import distributed

class SLURMCluster(distributed.LocalCluster):
    \"\"\"Stand-in for dask-jobqueue's: the jobs are processes here.\"\"\"

    def __init__(self, cores, processes, memory, walltime, worker_extra_args):
        assert (cores, processes) == (1, 1) and worker_extra_args[0] == "--lifetime"
        super().__init__(n_workers=0, threads_per_worker=1, dashboard_address=":0")

    def adapt(self, minimum_jobs, maximum_jobs):
        super().adapt(minimum=minimum_jobs, maximum=maximum_jobs)
"""


def test_workers_from_slurm_leave_what_one_run_leaves(place: tuple[Path, dict[str, str]]) -> None:
    pytest.importorskip("distributed")
    work, _ = place
    (work / "dask_jobqueue.py").write_text(SLURM_CLUSTER)
    tool = f"PYTHONPATH={work}:$PYTHONPATH {sys.executable}"
    bash(place, f"{tool} {EXAMPLES}/dask_slurm.py", WORKERS="2")
    bash(place, 'crystaltool sample "$MODEL" -n $N --seed $SEED --no-provenance -q -o one.cif')
    bash(place, "crystaltool check --pass --exit-zero -q -o one.valid.cif one.cif")
    assert (work / "all.cif").read_bytes() == (work / "one.cif").read_bytes()
    assert (work / "valid.cif").read_bytes() == (work / "one.valid.cif").read_bytes()
    assert len((work / "checked.jsonl").read_text().splitlines()) == N


@pytest.mark.parametrize("campaign", [slurm, parallel, snakemake])
def test_a_campaign_leaves_what_one_run_leaves(
    campaign: Callable[[tuple[Path, dict[str, str]]], None], place: tuple[Path, dict[str, str]]
) -> None:
    campaign(place)
    work, _ = place
    bash(place, 'crystaltool sample "$MODEL" -n $N --seed $SEED --no-provenance -q -o one.cif')
    bash(place, "crystaltool check --pass --exit-zero -q -o one.valid.cif one.cif")
    bash(place, "cat parts/000?.cif > all.cif")
    assert (work / "all.cif").read_bytes() == (work / "one.cif").read_bytes()
    assert (work / "valid.cif").read_bytes() == (work / "one.valid.cif").read_bytes()
    lines = (work / "checked.jsonl").read_text().splitlines()
    assert len(lines) == N and all(line.startswith('{"structure": "symmcd-') for line in lines)
    if campaign is not snakemake:  # killed half way, started again
        part = work / "parts" / "0002.jsonl"
        whole = part.read_bytes()
        part.write_bytes(whole[: len(whole) // 2])
        (work / "parts" / "0002.valid.cif").unlink()
        (work / "valid.cif").unlink()
        campaign(place)
        assert part.read_bytes() == whole
        assert (work / "valid.cif").read_bytes() == (work / "one.valid.cif").read_bytes()
