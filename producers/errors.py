"""Errors of the package.

::

    ProducerError
    ├── LogError             a file cannot be read as asked
    │   └── Undecided        a file can be read in several ways
    ├── OrderError           a line or record is not an order that can be counted
    ├── TopicMissing         the broker does not have the topic
    ├── BrokerUnavailable    no broker answers
    │   └── BrokerRefuses    a broker answers, but does not let us in
    ├── KafkaConfigInvalid   what is said about reaching the broker cannot be
    └── PublishingFailed     the broker did not accept a record

Messages name the place, what was found, what was expected, and what to do.
"""


class ProducerError(Exception):
    """Base of every error that this package raises on purpose."""


class LogError(ProducerError):
    """A log file, or a file of rejected lines, cannot be read as asked."""


class Undecided(LogError):
    """A file can be read in several ways. The message asks which, and names the option that answers."""


class OrderError(ProducerError):
    """A line or record is not an order that can be counted: it is rejected, and the next one is read."""


class TopicMissing(ProducerError):
    """The broker does not have the topic."""


class BrokerUnavailable(ProducerError):
    """No broker answers at the address given. The message says what was tried, and for how long."""


class BrokerRefuses(BrokerUnavailable):
    """A broker answers, but does not let us in: certificate, credentials or rights. Trying again does not help."""


class KafkaConfigInvalid(ProducerError):
    """What is said about reaching the broker cannot be: a property, a certificate file, a token provider."""


class PublishingFailed(ProducerError):
    """The broker did not accept a record. Those acknowledged before are stored; the same replay sends the rest."""
