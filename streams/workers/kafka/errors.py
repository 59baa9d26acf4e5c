"""What can go wrong in a worker besides its state. Each message says where, what, what was expected and what to do.

WorkerError              a worker cannot start, cannot continue, or cannot write
|-- TopicsUnfit          topics are missing, or configured in a way that would lose or change counts
|-- LogLost              a topic no longer holds the records from which the state would continue
|-- ProducingFailed      records could not be written: the worker ends
|-- AppendFailed         the broker did not acknowledge an order or erasure: whoever sent it may try again
|-- PlacementUnknown     it is not decided yet where an order belongs: whoever sent it may try again
`-- AddressUnavailable   the address of the web server is taken, or not this machine's

`producers.connection.BrokerUnavailable` says that no broker answers at all.
"""


class WorkerError(Exception):
    """A worker cannot start, cannot continue, or cannot write."""


class TopicsUnfit(WorkerError):
    """Topics are missing, or configured in a way that would lose or change counts."""


class LogLost(WorkerError):
    """A topic no longer holds the records from which the state would continue."""


class ProducingFailed(WorkerError):
    """Records could not be written. The worker ends; the next one sends what was not acknowledged."""


class AppendFailed(WorkerError):
    """The broker did not acknowledge an order or erasure. It may have been written all the same."""


class PlacementUnknown(WorkerError):
    """It is not decided yet in which partition an order belongs. Nothing was written."""


class AddressUnavailable(WorkerError):
    """The address of the worker's web server is taken, or not this machine's."""
