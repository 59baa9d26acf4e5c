"""Write or check the locks: every dependency of the tests and benchmarks, and those of the image, pinned and hashed.

python .ci/lock.py            compile both; needs pip-tools, a network and a few minutes
python .ci/lock.py --image    only write the image's again, from the other; needs what that pins to be installed
python .ci/lock.py --check    exit with 1 if pyproject.toml declares other dependencies than they were compiled from
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
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
IMAGE_LOCK = ROOT / "requirements.image.lock"
EXTRAS = ("test", "bench")
IMAGE_EXTRAS = ("evaluation", "formats", "msk", "registry")
HEADER = """\
# Dependencies of {purpose} (the extras {extras}), Python {python}, with hashes. Written by .ci/lock.py; do not edit.
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
    return "".join(sorted(pins_of(text).values()))


def pins_of(lock: str) -> dict[str, str]:
    """The pins of a lock, each with its hashes, by name."""
    pins = re.findall(r"^[a-z0-9][^\s=]*==\S+ \\\n(?: +--hash=\S+(?: \\)?\n)+", lock, re.MULTILINE)
    return {pin.partition("==")[0]: pin for pin in pins}


def image_pins() -> str:
    """The pins that the image needs: those reached from the project, some extras, and what builds it."""
    from packaging.requirements import Requirement  # noqa: PLC0415 - only tests have it
    from packaging.utils import canonicalize_name  # noqa: PLC0415

    pins = pins_of(LOCK.read_text())
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = declared["project"]["optional-dependencies"]
    waiting = [*declared["build-system"]["requires"], *declared["project"]["dependencies"]]
    waiting += [text for extra in IMAGE_EXTRAS for text in extras[extra]]
    found: dict[str, set[str]] = {}
    while waiting:
        wanted = Requirement(waiting.pop())
        name = canonicalize_name(wanted.name)
        new = {"", *wanted.extras} - found.get(name, set())
        if not new:
            continue
        found.setdefault(name, set()).update(new)
        for text in metadata.requires(name) or ():
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in new):
                waiting.append(text)
    return "".join(pins[name] for name in sorted(found))


def header(purpose: str, extras: tuple[str, ...]) -> str:
    """The first lines of a lock."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return HEADER.format(purpose=purpose, extras=" and ".join(extras), python=python, digest=declared_digest())


def main() -> None:
    """Write the lock, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare with pyproject.toml")
    parser.add_argument("--image", action="store_true", help="only write requirements.image.lock again")
    given = parser.parse_args()
    if given.check:
        for lock in (LOCK, IMAGE_LOCK):
            if declared_digest() not in lock.read_text():
                sys.exit(f"{lock.name} is not current with pyproject.toml: run python .ci/lock.py")
        return
    if not given.image:
        LOCK.write_text(header("CI", EXTRAS) + compiled())
    IMAGE_LOCK.write_text(header("the image", IMAGE_EXTRAS) + image_pins())


if __name__ == "__main__":
    main()
