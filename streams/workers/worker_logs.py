"""The worker's log: plain lines for people, or JSON for machines."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import msgspec
from aiokafka.errors import KafkaError


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON.

    >>> record = logging.LogRecord("streams.workers.tally", logging.INFO, "", 0, "partition %d", (3,), None)
    >>> msgspec.json.decode(JsonFormatter().format(record))["message"]
    'partition 3'
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        document = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(document).decode()


def _is_news(record: logging.LogRecord) -> bool:
    """False for the futures that the Kafka client keeps for itself: whoever wrote has got the error of the write."""
    return not (
        record.exc_info
        and isinstance(record.exc_info[1], KafkaError)
        and "exception was never retrieved" in record.getMessage()
    )


def set_up_logs(*, as_json: bool) -> None:
    """Log to standard error: our loggers from INFO, others from WARNING, the Kafka clients from ERROR."""
    handler = logging.StreamHandler(sys.stderr)
    plain = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S")
    handler.setFormatter(JsonFormatter() if as_json else plain)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("streams", "producers", "state"):
        logging.getLogger(name).setLevel(logging.INFO)
    for name in ("kafka", "aiokafka"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("asyncio").addFilter(_is_news)
