"""All systems, in the order of the tables."""

from __future__ import annotations

from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import product
from typing import TYPE_CHECKING

from evaluation.errors import EvaluationError
from evaluation.systems import bestsellers
from evaluation.systems.autoencoder import plain, time_aware
from evaluation.systems.bm25 import bm25
from evaluation.systems.buy_again import buy_again
from evaluation.systems.chance import chance
from evaluation.systems.default import shipped
from evaluation.systems.ease import ease
from evaluation.systems.expectations import Expectation
from evaluation.systems.factors import als
from evaluation.systems.neighbours import full_index, random_sample
from evaluation.systems.related import Merging, item_to_item, merged
from evaluation.systems.self_tuned import self_tuned
from evaluation.systems.system import System
from evaluation.systems.trending import times_trend
from streams.engine.scores import SCORES, Scoring
from streams.recommendations.recommend import Blend
from streams.recommendations.request import REPEATS_SHARE

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT = "default"
BLENDS = [name for name, score in SCORES.items() if score.recent_half_life_days is not None]
CORRECTED_SCORES = [name for name, score in SCORES.items() if score.decays and name not in BLENDS]
PLAIN_SCORES = [name for name, score in SCORES.items() if not score.decays and name not in BLENDS]
HALF_LIVES_DAYS = (None, 30, 60, 120)
WINDOWS = {"20": 20, "50": 50, "200": 200, "500": 500, "none": 0}


def _scores() -> list[System]:
    """Item-to-item by each score, with trend and, as `-flat`, without."""
    scorings: list[tuple[str, int | None]] = [(score, None) for score in PLAIN_SCORES]
    scorings += list(product(CORRECTED_SCORES, HALF_LIVES_DAYS))
    scorings += [(score, None) for score in BLENDS]
    return [
        System(
            f"{score}{f'-{half_life}d' if half_life else ''}{'' if trend else '-flat'}",
            "item-to-item",
            item_to_item(Scoring(score, half_life, trend)),
        )
        for (score, half_life), trend in product(scorings, (True, False))
    ]


def _expectations() -> list[System]:
    """Item-to-item by other expectations than the engine's."""
    lists = {
        "difference-calibrated": Expectation("calibrated"),
        "significance-naive": Expectation("naive", 0.5),
        "significance-naive-flat": Expectation("naive", 0.5, trend=False),
    }
    return [System(name, "item-to-item", merged(one.lists, Merging(popularity=0))) for name, one in lists.items()]


def _settings() -> list[System]:
    """The default with one setting changed."""
    changes = {f"share-{share:g}": Merging(popularity=share) for share in (0.0, 0.2, 0.5, 0.6, 0.8)}
    changes |= {f"seeds-{seeds}": Merging(seeds=seeds) for seeds in (20, 50, 200)}
    changes |= {f"seed-half-life-{days}d": Merging(half_life_days=days) for days in (30, 180)}
    changes["seed-half-life-none"] = Merging(half_life_days=None)
    systems = [System(name, "settings", item_to_item(Scoring(), merging)) for name, merging in changes.items()]
    mixes = {f"blend-{days}d": Scoring("blend", days) for days in (30, 120)}
    systems += [System(name, "settings", item_to_item(scoring, Merging())) for name, scoring in mixes.items()]
    calibrated = merged(Expectation("calibrated").lists, Merging(root_mass=True))
    systems.append(System("with-difference-calibrated", "settings", calibrated))
    others = [("raw", None), *product(CORRECTED_SCORES, (None, 60))]
    for score, half_life in others:
        name = f"with-{score}{f'-{half_life}d' if half_life else ''}"
        systems.append(System(name, "settings", item_to_item(Scoring(score, half_life), Merging(root_mass=True))))
    systems.append(System("self-tuned", "settings", self_tuned))
    systems.append(System("with-repeats", "settings", shipped(Blend(repeats=REPEATS_SHARE))))
    return systems


SYSTEMS: tuple[System, ...] = (
    System(DEFAULT, "default", shipped(Blend())),
    System("bestsellers-14d", "popularity", bestsellers.two_weeks),
    System("bestsellers-all", "popularity", bestsellers.of_all_time),
    System("popularity-7d", "popularity", bestsellers.decayed(7)),
    System("chance", "popularity", chance),
    System("buy-again", "popularity", buy_again),
    *_scores(),
    *_expectations(),
    *[System(f"window-{name}", "windows", item_to_item(Scoring(), Merging(), days)) for name, days in WINDOWS.items()],
    *_settings(),
    System("customers-full", "user-based", full_index),
    System("customers-sample", "user-based", random_sample),
    System("als", "peers", als),
    System("als-trend", "peers", times_trend(als)),
    System("bm25", "peers", bm25),
    System("bm25-trend", "peers", times_trend(bm25)),
    System("ease", "peers", ease),
    System("ease-trend", "peers", times_trend(ease)),
    System("autoencoder", "peers", plain),
    System("autoencoder-time", "peers", time_aware),
)


def systems_named(selection: Sequence[str], against: str = DEFAULT) -> list[System]:
    """The systems that names, groups and patterns select, all if there are none, and the one to compare them with.

    Raises:
        EvaluationError: a name, group or pattern selects no system.
    """
    names = [system.name for system in SYSTEMS]
    groups = list(dict.fromkeys(system.group for system in SYSTEMS))
    for one in selection:
        if one not in groups and not any(fnmatchcase(name, one) for name in names):
            raise EvaluationError(
                f"there is no system {one!r}{_hint(one, [*names, *groups])}; --systems takes groups: "
                f"{', '.join(groups)}; patterns like 'difference*'; and names: {', '.join(names)}"
            )
    if against not in names:
        raise EvaluationError(
            f"--against takes the name of one system, not {against!r}{_hint(against, names)}: {', '.join(names)}"
        )
    return [
        system
        for system in SYSTEMS
        if not selection
        or system.name == against
        or any(one == system.group or fnmatchcase(system.name, one) for one in selection)
    ]


def _hint(one: str, known: Sequence[str]) -> str:
    near = get_close_matches(one, sorted(set(known)), n=3)
    return f" (did you mean {' or '.join(near)}?)" if near else ""
