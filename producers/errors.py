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
    ├── RegistryError        a schema registry does not answer, or not with a schema that records can be read by
    │   └── UnknownSchema    it has no schema of a record's id
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


class RegistryError(ProducerError):
    """A schema registry does not answer, or not with a schema that records can be read by."""


class UnknownSchema(RegistryError):
    """A schema registry has no schema of a record's id.

    Args:
        number: the id.
        url: of the registry, without credentials.

    Attributes:
        index: of the record, among those that were to be read.
    """

    def __init__(self, number: int, url: str) -> None:
        own = "; Apicurio's own serializers write other ids, unless they are told to write Confluent's"
        super().__init__(
            f"schema {number} is not known to the schema registry at {url}{'' if number else own}. Is it the registry "
            "that the producers use? --reject-unknown-schemas rejects such records and goes on"
        )
        self.index = 0


class PublishingFailed(ProducerError):
    """The broker did not accept a record. Those acknowledged before are stored; the same replay sends the rest."""
