"""Fuzzing with coverage guidance.

python -m tests.fuzzing --seconds 600                  every target in turn, together so many seconds
python -m tests.fuzzing --target deltas --inputs 100000
python -m tests.fuzzing --repeat findings/deltas-1f2e  the input of a finding, exactly

Needs atheris (`pip install atheris`, on Linux), which runs each target in a process of its own. A finding is an input
after which a decoder raised anything but its own error, gave a value that breaks an invariant, took over ten seconds or
500 MB. It is written to --findings, and ends its target.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzzing.corpus import CORPUS
from tests.fuzzing.targets import TARGETS

SLOWEST_S = 10
MOST_MB = 500


def main() -> None:
    """Fuzz, or repeat a finding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="in all, divided among the targets")
    parser.add_argument("--target", choices=TARGETS, action="append", help="may be repeated; by default all")
    parser.add_argument("--inputs", type=int, default=0, help="of each target; 0: as many as there is time for")
    parser.add_argument("--seed", type=int, default=1, help="equal seeds and inputs repeat a run")
    parser.add_argument("--findings", type=Path, default=Path("findings"), help="where inputs of findings are written")
    parser.add_argument("--repeat", type=Path, help="an input, named TARGET-...: run it and nothing else")
    options = parser.parse_args()
    if options.repeat:
        TARGETS[options.repeat.name.partition("-")[0]].check(options.repeat.read_bytes())
        print(f"{options.repeat}: as it should be")
        return
    chosen = options.target or list(TARGETS)
    print(f"{'target':<20}{'inputs':>12}{'coverage':>14}{'seconds':>9}{'peak MB':>9}  findings")
    found = 0
    for name in chosen:
        found += _fuzz(name, options, options.seconds / len(chosen))
    sys.exit(1 if found else 0)


def _fuzz(name: str, options: argparse.Namespace, seconds: float) -> int:
    """Fuzz one target; return how many findings there are."""
    options.findings.mkdir(parents=True, exist_ok=True)
    before = set(options.findings.iterdir())
    begun = time.monotonic()
    command = [
        *(sys.executable, "-m", "tests.fuzzing.guided", name, f"-seed={options.seed}"),
        *(f"-max_total_time={max(1, round(seconds))}", f"-timeout={SLOWEST_S}", f"-rss_limit_mb={MOST_MB}"),
        *(f"-artifact_prefix={options.findings}/{name}-", "-print_final_stats=1", "-max_len=65536", "-close_fd_mask=1"),
        *([f"-runs={options.inputs}"] if options.inputs else []),
    ]
    with tempfile.TemporaryDirectory() as new:  # libFuzzer writes into the first directory, and only reads the others
        command += [new, str(CORPUS / name)]
        log = subprocess.run(command, stderr=subprocess.PIPE, check=False).stderr.decode(errors="replace")
    findings = sorted(set(options.findings.iterdir()) - before)
    covered = [int(number) for number in re.findall(r"cov: (\d+)", log)] or [0]
    inputs, peak = (
        max(map(int, re.findall(pattern, log)), default=0)
        for pattern in (r"stat::number_of_executed_units: (\d+)", r"stat::peak_rss_mb: +(\d+)")
    )
    inputs = max([inputs, *map(int, re.findall(r"^#(\d+)", log, re.MULTILINE))])
    coverage = f"{covered[0]}+{covered[-1] - covered[0]}"
    seconds = time.monotonic() - begun
    names = ", ".join(path.name for path in findings) or "none"
    print(f"{name:<20}{inputs:>12,}{coverage:>14}{seconds:>9.0f}{peak:>9}  {names}", flush=True)
    if findings or not inputs:
        print(log[-3000:], file=sys.stderr)
    return len(findings) + (not inputs)


if __name__ == "__main__":
    main()
