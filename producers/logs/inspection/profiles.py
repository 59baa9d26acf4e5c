"""Profiles: how the exports of known shops and data sets are read."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from producers.errors import LogError
from producers.log_format import LogFormat, settings_of_toml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Profile:
    """How a kind of log is read.

    Attributes:
        name: of the profile, or its file.
        title: what it reads, in a few words.
        headers: columns by which such a log is known, one or more sets of them; empty: by nothing.
        settings: attributes of `LogFormat` that it sets. What it leaves out is looked for in the log.
    """

    name: str
    title: str
    headers: tuple[tuple[str, ...], ...]
    settings: dict[str, Any]


def load_profile(name: str) -> Profile:
    """A profile that comes along, by its name, or one in a TOML file.

    Raises:
        LogError: there is none.
    """
    if name.endswith(".toml"):
        try:
            text = Path(name).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise LogError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from None
        return _profile(name, text)
    known = profiles()
    if name not in known:
        raise LogError(f"there is no profile '{name}'; there are {', '.join(known)}, or name a .toml file")
    return known[name]


@cache
def profiles() -> dict[str, Profile]:
    """The profiles that come along, by name."""
    directory = resources.files("producers.logs.inspection") / "profiles"
    files = sorted((file for file in directory.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return {name: _profile(name, file.read_text()) for file in files if (name := file.name.removesuffix(".toml"))}


def matching_profile(columns: Sequence[str]) -> Profile | None:
    """The profile whose header is among the columns of a log, the one with the longest if there are several."""
    names = {column.strip().lower() for column in columns}
    matched = [
        (len(header), profile)
        for profile in profiles().values()
        for header in profile.headers
        if {name.lower() for name in header} <= names
    ]
    return max(matched, key=lambda match: match[0], default=(0, None))[1]


def merged(profile: Profile, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a profile, with others in their place."""
    columns = {**profile.settings.get("columns", {}), **settings.get("columns", {})}
    return {**profile.settings, **settings, "columns": columns}


def _profile(name: str, text: str) -> Profile:
    try:
        about = tomllib.loads(text).get("profile", {})
    except tomllib.TOMLDecodeError as error:
        raise LogError(f"{name} is no profile: {error}") from None
    settings = settings_of_toml(text)
    settings.pop("profile", None)
    try:
        LogFormat.from_settings(settings)
    except LogError as error:
        raise LogError(f"{name} is no profile: {error}") from None
    settings["columns"] = {field: tuple(paths) for field, paths in settings.get("columns", {}).items()}
    header = about.get("header", [])
    headers = header if any(isinstance(part, list) for part in header) else [header] * bool(header)
    return Profile(name, about.get("title", name), tuple(map(tuple, headers)), settings)
