"""Write or check requirements.lock: every dependency of the tests and benchmarks, pinned and hashed.

python .ci/lock.py            compile it; needs pip-tools, a network and a few minutes
python .ci/lock.py --check    exit with 1 if pyproject.toml declares other dependencies than it was compiled from
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
EXTRAS = ("test", "bench")
HEADER = """\
# Every dependency of CI (the extras {extras}) for Python {python}, with hashes. Written by .ci/lock.py; do not edit.
# compiled from dependencies {digest}
"""


def declared_digest() -> str:
    """A digest of what pyproject.toml declares: dependencies, extras, build requirements and Python versions."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = declared["project"]
    tables = [
        declared["build-system"]["requires"],
        project["requires-python"],
        project["dependencies"],
        project["optional-dependencies"],
    ]
    return hashlib.sha256(json.dumps(tables, sort_keys=True).encode()).hexdigest()[:16]


def compiled() -> str:
    """The pinned requirements, by name, as pip-compile resolves them."""
    options = ["--quiet", "--generate-hashes", "--allow-unsafe", "--all-build-deps", "--strip-extras"]
    options += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-trusted-host", "--no-emit-find-links"]
    options += [f"--extra={extra}" for extra in EXTRAS]
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / LOCK.name
        if LOCK.exists():
            output.write_text(LOCK.read_text())  # versions that still fit stay
        command = [sys.executable, "-m", "piptools", "compile", *options, f"--output-file={output}", "pyproject.toml"]
        subprocess.run(command, cwd=ROOT, check=True)
        text = output.read_text()
    pins = re.findall(r"^[a-z0-9][^\s=]*==\S+ \\\n(?: +--hash=\S+(?: \\)?\n)+", text, re.MULTILINE)
    return "".join(sorted(pins))


def main() -> None:
    """Write the lock, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare with pyproject.toml")
    if parser.parse_args().check:
        if declared_digest() not in LOCK.read_text():
            sys.exit("requirements.lock is not current with pyproject.toml: run python .ci/lock.py")
        return
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    header = HEADER.format(extras=" and ".join(EXTRAS), python=python, digest=declared_digest())
    LOCK.write_text(header + compiled())


if __name__ == "__main__":
    main()
