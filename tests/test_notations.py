"""Notations of dates: which fit a column, and what its texts mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.notations import notations_of, read_times

MOMENT = datetime(2023, 1, 25, 10, 11, 12, tzinfo=UTC)

WRITTEN = {
    "month-first": ["1/25/2023 10:11:12", "01/25/2023 10:11:12 AM", "1-25-2023 10:11:12", "1/25/23 10:11:12"],
    "day-first": ["25/1/2023 10:11:12", "25-01-2023 10:11:12", "25.01.2023 10:11:12", "25.1.23, 10:11:12"],
    "year-first": [
        "2023/01/25 10:11:12",
        "2023-1-25 10:11:12",
        "2023-01-25 10:11:12 UTC",
        "2023-01-25 05:11:12 EST",
        "2023-01-25t10:11:12z",
        "2023.01.25 10:11:12",
    ],
    "month-name": [
        "Wed, 25 Jan 2023 10:11:12 +0000",
        "Jan 25, 2023 10:11:12 AM",
        "25-JAN-2023 10:11:12",
        "Wed Jan 25 10:11:12 UTC 2023",
        "25/Jan/2023:11:11:12 +0100",
        "January 25, 2023 10:11:12",
    ],
    "digits": ["20230125101112"],
    "us": ["1674641472000000"],
    "ns": ["1674641472000000000"],
}


@pytest.mark.parametrize(("notation", "text"), [(name, text) for name, texts in WRITTEN.items() for text in texts])
def test_a_notation_is_found_and_read(notation: str, text: str) -> None:
    found = notations_of([text])
    assert found[0] == notation

    times = read_times(pa.array([text]), notation)

    assert times.readable.tolist() == [True]
    assert times.time.tolist() == [MOMENT.timestamp() * 1000]


def test_days_of_a_spreadsheet_are_read() -> None:
    assert notations_of(["44951", "44951.5"]) == ["excel"]
    days = read_times(pa.array(["44951", "44951.5"]), "excel").time.astype("datetime64[ms]").astype(str).tolist()
    assert days == ["2023-01-25T00:00:00.000", "2023-01-25T12:00:00.000"]


def test_digits_of_a_day_are_no_seconds_since_1970() -> None:
    assert notations_of(["20230105"]) == ["digits"]
    assert notations_of(["1673000000"])[0] == "iso"
    assert notations_of(["1673000000000"])[0] == "iso"
    assert notations_of(["1.67E9"]) == ["s"]


def test_one_day_above_12_decides_for_the_whole_column() -> None:
    assert notations_of(["1/2/2023", "3/4/2023"]) == ["day-first", "month-first"]
    assert notations_of(["1/2/2023", "3/14/2023"]) == ["month-first"]
    assert notations_of(["1/2/2023", "14/3/2023"]) == ["day-first"]
    assert notations_of(["13/1/2023", "1/13/2023"]) == []


@pytest.mark.parametrize("text", ["31.02.2023", "2023/13/01", "1/1/2023 24:00", "1/1/2023 13:00 PM", "32 Jan 2023", ""])
def test_days_and_hours_that_do_not_exist_are_not_read(text: str) -> None:
    for notation in ("day-first", "month-first", "year-first", "month-name"):
        assert not read_times(pa.array([text]), notation).readable[0]


def test_an_abbreviation_of_several_zones_is_not_read() -> None:
    assert notations_of(["2023-01-05 10:11:12 IST"]) == []


def test_local_times_take_the_zone_and_the_hours_of_a_change_are_defined() -> None:
    """The earlier of two times of that name; for a time that the clock skips, the moment when it does."""
    texts = pa.array(["25.3.2023 12:00", "26.3.2023 02:30", "29.10.2023 02:30", "25.3.2023 12:00 UTC"])

    times = read_times(texts, "day-first", "Europe/Berlin").time.astype("datetime64[ms]").astype(str).tolist()

    assert times == [
        "2023-03-25T11:00:00.000",
        "2023-03-26T01:00:00.000",
        "2023-10-29T00:30:00.000",
        "2023-03-25T12:00:00.000",
    ]


def test_days_count_from_a_start() -> None:
    texts = pa.array(["0", "1 14", "2 1405", "3 14:05:06", "4 25"])

    times = read_times(texts, "days", start="2017-01-01")

    assert times.readable.tolist() == [True, True, True, True, False]
    assert times.time[:4].astype("datetime64[ms]").astype("datetime64[s]").astype(str).tolist() == [
        "2017-01-01T00:00:00",
        "2017-01-02T14:00:00",
        "2017-01-03T14:05:00",
        "2017-01-04T14:05:06",
    ]


@given(st.datetimes(datetime(1990, 1, 1), datetime(2068, 12, 31)))  # noqa: DTZ001  hypothesis takes them so
def test_every_moment_is_read_as_it_was_written(moment: datetime) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
    expected = round(moment.timestamp() * 1000)
    written = {
        "day-first": moment.strftime("%d.%m.%Y %H:%M:%S.%f"),
        "month-first": moment.strftime("%m/%d/%Y %I:%M:%S.%f %p"),
        "year-first": moment.strftime("%Y/%m/%d %H:%M:%S.%f UTC"),
        "month-name": moment.strftime("%d %b %Y %H:%M:%S.%f +0000"),
        "us": str(expected * 1000),
        "ns": str(expected * 1_000_000),
    }
    for notation, text in written.items():
        assert read_times(pa.array([text]), notation).time.tolist() == [expected]


def test_a_year_of_four_digits_is_that_year() -> None:
    texts = pa.array(["0023-01-05", "2023-01-05"])

    assert read_times(texts, "year-first").time.astype("datetime64[ms]").astype(str).tolist() == [
        "0023-01-05T00:00:00.000",
        "2023-01-05T00:00:00.000",
    ]
    assert read_times(pa.array(["5.1.23", "5.1.68", "5.1.69"]), "day-first").time.astype("datetime64[ms]").astype(
        "datetime64[Y]"
    ).astype(str).tolist() == ["2023", "2068", "1969"]


def test_a_time_means_the_same_whatever_stands_beside_it() -> None:
    """Orders do not depend on where batches end, so no value may depend on its neighbours."""
    text = "1672531200000999"

    alone = read_times(pa.array([text]), "us").time[0]
    beside = read_times(pa.array([text, "1.67E15", "milk", "-5"]), "us").time[0]

    assert alone == beside == 1_672_531_200_000


def test_zero_behind_the_point_is_all_that_a_day_of_digits_may_have() -> None:
    assert read_times(pa.array(["20230105.0", "20230105.5"]), "digits").readable.tolist() == [True, False]


PATTERNS = ("%d.%m.%Y %H:%M", "%b %d, %Y %I:%M:%S %p", "%Y/%m/%dT%H:%M:%S%z", "%B  %d %y", "%A %d-%b-%Y %H.%M.%S.%f")
PIECES = [
    "1",
    "31",
    "12",
    "0",
    "2023",
    "0023",
    "23",
    ".",
    "/",
    "-",
    ":",
    ",",
    "T",
    "t",
    "AM",
    "pm",
    "+0100",
    "+16:00",
    "Z",
    "Jan",
    "february",
    "Monday",
    "fri",
]


@given(st.sampled_from(PATTERNS), st.data())
def test_a_pattern_means_what_strptime_says(pattern: str, data: st.DataObject) -> None:
    """Texts that are read at once, and those that are not."""
    moment = data.draw(st.datetimes(datetime(1969, 1, 1), datetime(2068, 12, 31)))  # noqa: DTZ001
    written = moment.replace(tzinfo=UTC).strftime(pattern)
    cut = data.draw(st.integers(0, len(written)))
    removed = data.draw(st.integers(0, 3))
    text = (written[:cut] + data.draw(st.sampled_from(("", " ", *PIECES))) + written[cut + removed :]).strip()

    times = read_times(pa.array([text, written]), pattern)

    for place, one in enumerate((text, written)):
        try:
            expected = datetime.strptime(one, pattern)  # noqa: DTZ007
        except ValueError:
            assert not times.readable[place], one
            continue
        aware = expected if expected.tzinfo else expected.replace(tzinfo=UTC)
        assert times.readable[place], one
        assert times.time[place] == (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1), one
        assert times.zoned[place] == (expected.tzinfo is not None)
