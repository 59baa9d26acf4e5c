"""Logs, mutated, against a slow reading: python -m tests.fuzzing.logs --inputs 100000 --seed 1.

Of plain logs every order, its time, quantities and places, and every rejected place must be those of the slow reading,
or there is an error that says what is wrong. Other files must be read or refused: no traceback, and what is read holds
what everything that counts takes for granted.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from producers.errors import LogError
from producers.log_format import LogFormat
from producers.logs.inspection.inspection import inspect
from producers.logs.reading import open_log
from producers.logs.settling import look_at_all, settle_format
from producers.timestamps import LATEST_MS
from tests.fuzzing.mutations import mutated
from tests.fuzzing.slow_reading import SlowOrder, SlowReading, read_csv, read_json_lines
from tests.growing_logs import growing
from tests.written_logs import read_log

if TYPE_CHECKING:
    from collections.abc import Callable

CSV = """\
customer_id,item_id,timestamp,quantity,order_id,type,title
ann,tea,2023-01-15 10:11:12,2,o1,purchase,"5"" pot, blue"
ann,mug,2023-01-15 10:11:13,1,o1,purchase,"two
lines, and, more"
ann, tea ,1673777472,,o1,Purchase,plain 5" nail
bob,="0007",2023-01-20T08:00:00+01:00,1.5,o2,,""

büb,N/A,2023-01-20,3,o2,refund,x
bob,0007,2023-01-21,1,o2,refund,"x"
bob,"a,b",2023-01-22,1e0,,sale,
cem,4.0E+12,2023-02-13 09:30:00,1,o3,gift,z
cem,,2023-02-13,,,erase,z
dan,jam,2023-13-01,1,o3,,y
dan,jam,2023-12-01,0,o3,,y
dan,jam,2023-12-01,1,o3,,"y"
dan,rye,2023-12-02,1,o3,,"y"
""".encode()
JSON_LINES = """\
{"customer_id": "ann", "item_id": "tea", "timestamp": "2023-01-15 10:11:12", "quantity": 2, "order_id": "o1"}
{"customer_id": "ann", "item_id": "mug", "timestamp": 1673777472, "quantity": "1.5", "order_id": "o1", "title": "x"}
{"customer_id": 17, "timestamp": 1673777472000, "lines": [{"item_id": "tea", "quantity": NaN}, {"item_id": null}]}

{"customer_id": "bob", "timestamp": "2023-01-20", "type": "refund", "lines": [{"item_id": "t"}, {"item_id": 7.0}]}
{"customer_id": "ann", "timestamp": "2023-01-21", "type": "erase"}
{"customer_id": "d\\u00fc", "item_id": "a\\nb", "timestamp": 1.67e9, "order_id": 5}
{"customer_id": "dü", "item_id": " c ", "timestamp": "1.67e9", "order_id": "5", "x": {"y": [1]}}
""".encode()


class Plain(NamedTuple):
    """A log whose orders are compared."""

    data: bytes
    log_format: LogFormat
    slow: Callable[[bytes], SlowReading | None]


PLAIN = {
    "csv": Plain(CSV, LogFormat(), read_csv),
    "semicolons": Plain(CSV.replace(b",", b";"), LogFormat(separator=";"), lambda data: read_csv(data, ";")),
    "json lines": Plain(JSON_LINES, LogFormat("jsonl"), read_json_lines),
}
OTHERS = growing()
PIECES = (
    b'"', b'""', b'"\n', b'\n"', b',"', b'",', b"\r", b"\r\n", b"\n\n", b"\x1c", b"\xe2\x80\xa8", b"\xc2\x85", b"'",
    b'="', b" ", b"\t", b"\0", b"NULL", b"2023-01-05", b"20230105", b"1e5", b"12E4", b"7.0", b"\xff", b"{}", b"[]",
    b"NaN",
    b"true", b"1e400", b"9" * 25, b'"lines": [],', b"\\u0000", b"\\ud800", b"ann,tea,2023-01-01,1,o1,,x\n", b"#", b";",
)  # fmt: skip
_UNCLEAR = re.compile(rb"\\u[dD][89a-fA-F]")


def changed(data: bytes, chance: random.Random) -> bytes:
    """Data like other data."""
    for _ in range(chance.choice((1, 1, 2, 3, 5))):
        if chance.random() < 0.5:
            at = chance.randrange(len(data) + 1)
            end = at if chance.random() < 0.6 else min(len(data), at + chance.randrange(6))
            data = data[:at] + chance.choice(PIECES) + data[end:]
        else:
            data = mutated(data, chance, (CSV, JSON_LINES), packed=False)
        if chance.random() < 0.1:
            lines = data.split(b"\n")
            one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
            lines[one], lines[other] = lines[other], lines[one]
            data = b"\n".join(lines)
    return data


def check_plain(name: str, data: bytes, path: Path) -> str:
    """Compare a plain log with its slow reading; return what became of it.

    Raises:
        AssertionError: it was read otherwise.
    """
    plain = PLAIN[name]
    path.write_bytes(data)
    slow = plain.slow(data)
    try:
        orders, refusals = read_log(open_log(path, plain.log_format))
    except LogError:
        return "an error"
    assert slow is not None, "it was read, though it cannot be"
    ours = SlowReading([SlowOrder(*order[:5]) for order in orders], [place for place, _ in refusals])
    if name == "json lines" and (unclear := _unclear_lines(data)):
        assert _lines(ours, unclear) == _lines(slow, unclear)
        return "right, but for lines that are not UTF-8"
    assert ours.orders == slow.orders
    last = None if data.endswith(b"\n") else data.count(b"\n")  # a last line that is bad may also wait for its end
    assert [one for one in sorted(ours.rejected) if one != last] == [
        one for one in sorted(slow.rejected) if one != last
    ]
    return "right"


def _unclear_lines(data: bytes) -> set[int]:
    """Lines that are no Unicode text, or name a field twice: rejected, or read if what is needed is clear."""
    found = set()

    def name_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len(dict(pairs)) < len(pairs):
            found.add(place)
        return dict(pairs)

    for place, line in enumerate(data.split(b"\n")):
        try:
            line.decode()
        except UnicodeDecodeError:
            found.add(place)
        if _UNCLEAR.search(line):
            found.add(place)
        with suppress(ValueError, RecursionError):
            json.loads(line.decode("utf-8", "replace"), object_pairs_hook=name_twice)
    return found


def _lines(reading: SlowReading, without: set[int]) -> list[tuple[object, ...]]:
    return [
        (order.customer, order.kind, order.key, *line)
        for order in reading.orders
        for line in order.lines
        if line[2] not in without
    ]


def check_any(name: str, data: bytes, path: Path) -> str:
    """Look at any file, settle how it is read, and read it; return what became of it.

    Raises:
        Exception: anything but the error of a log.
    """
    _, options = OTHERS[name]
    path.write_bytes(data)
    with suppress(LogError):
        inspect(path, options)
    try:
        given = {**options, "order": "as-it-stands"}
        _, log_format = look_at_all(path, settle_format(path, given).log_format, given, LATEST_MS, set(), [])
        read_log(open_log(path, log_format))
    except LogError:
        return "an error"
    return "read"


def main() -> None:
    """Check inputs, most of them plain logs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    counts: Counter[str] = Counter()
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as directory:
        for number in range(options.inputs):
            counts[check_one(chance, Path(directory))] += 1
            if number % 10_000 == 9999:
                print(f"{number + 1:,}: {dict(counts)}", flush=True)
    for text, count in sorted(counts.items()):
        print(f"{count:>9,}  {text}")
    print(f"{options.inputs:,} inputs, none read wrong, in {time.process_time() - begun:.0f} s")


def check_one(chance: random.Random, directory: Path, *, plain: float = 0.9) -> str:
    """Check an input that chance chooses; return what became of it.

    Args:
        chance: decides.
        directory: where it is written.
        plain: the share of plain logs.

    Raises:
        Exception: it was read wrong, or raised anything but the error of a log; a note has the input.
    """
    if chance.random() < plain:
        name = chance.choice(list(PLAIN))
        data, check = changed(PLAIN[name].data, chance), check_plain
    else:
        name = chance.choice(list(OTHERS))
        data, check = changed(OTHERS[name][0], chance), check_any
    try:
        return f"{name if name in PLAIN else 'other files'}: {check(name, data, directory / name)}"
    except Exception as error:
        error.add_note(f"the input, {name}, was {data!r}")
        raise


if __name__ == "__main__":
    main()
