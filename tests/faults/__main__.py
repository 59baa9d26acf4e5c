"""Faults on real workers and a real broker, until so many have happened; everything must be exact after each round.

python -m tests.faults --faults 1000 --seed 1 --out faults.jsonl    goes on where the file ends
python -m tests.faults --seed 1 --world 7                           one world again
python -m tests.faults --table faults.jsonl                         what has happened so far, by kind
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.faults.registry import FAULTS
from tests.faults.rounds import MODULES, Plan, Wrong, run_world, written
from tests.faults.table import counted, table
from tests.faults.world import Site


def main() -> int:
    """Run worlds; 1 if something was not exact."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--faults", type=int, default=1000, help="how many, those in --out included")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--out", type=Path, help="results are appended to it, a line each")
    options.add_argument("--kinds", default="", help=f"with commas, of: {', '.join(FAULTS)}")
    options.add_argument("--world", type=int, help="run this world and no other")
    options.add_argument("--table", type=Path, help="print the results of a file, and run nothing")
    options.add_argument("--until", help="HH:MM, when no more worlds are begun")
    given = options.parse_args()
    if given.table:
        print(table(read(given.table)))
        return 0
    kinds = frozenset(filter(None, given.kinds.split(",")))
    if unknown := kinds - FAULTS.keys():
        options.error(f"no such kinds: {', '.join(sorted(unknown))}; there are: {', '.join(FAULTS)}")
    try:
        return run(given, Plan(given.seed, kinds))
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on", file=sys.stderr)
        return 130


def read(path: Path) -> list[dict[str, Any]]:
    """The results of a file, without half a line of a run that was stopped; none if it is not there."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [result for result in map(written, lines) if result]


def run(given: argparse.Namespace, plan: Plan) -> int:
    """Run worlds until enough has happened."""
    results = read(given.out) if given.out else []
    if given.out and given.out.exists() and not given.out.read_text().endswith("\n"):
        with given.out.open("a") as out:
            out.write("\n")
    number = 1 + max((result["world"] for result in results if result.get("seed") == plan.seed), default=0)
    wrong = 0
    place = Path(tempfile.mkdtemp(prefix="faults-"))
    print(f"{len(FAULTS)} kinds of {len(MODULES)} modules; {counted(results)} faults so far; in {place}", flush=True)

    def report(result: dict[str, Any]) -> None:
        results.append(result)
        if given.out:
            with given.out.open("a") as out:
                out.write(json.dumps(result) + "\n")
        what = result.get("kind") or f"-> {result['outcome']} in {result.get('seconds', 0)} s"
        at = f"{result['world']}.{result['round']}"
        print(f"{time.strftime('%H:%M:%S')} {at} {what}: {result.get('what', '')}", flush=True)

    with Site(place / "broker") as site:
        numbers = [given.world] if given.world is not None else range(number, 1_000_000)
        for each in numbers:
            enough = given.world is None and counted(results) >= given.faults
            if enough or (given.until and time.strftime("%H:%M") >= given.until):
                break
            try:
                run_world(site, place / f"world{each}", plan, each, report)
            except Wrong as error:
                wrong += 1
                again = f"python -m tests.faults --seed {plan.seed} --world {each}"
                print(f"WRONG: {error}\nin {place / f'world{each}'}; again: {again}", flush=True)
    print(table(results))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
