"""Errors of the stores. Each message says where, what, what was expected and what to do.

StateError                 the state directory cannot be used as asked
|-- StateLocked            another process has it open
|-- SnapshotFailed         no snapshot was written
|-- StateDamaged           RocksDB or a record in it is corrupt
|-- SettingsMismatch       it was written with other counting settings or another format
|-- OtherLog               the log that it was counted from was replaced by another, or divided differently
|-- BudgetTooSmall         the memory it may take does not hold what a commit needs
`-- StorageFailed          the disk is full or failing; the state is as of its last commit
"""


class StateError(Exception):
    """The state directory cannot be used as asked."""


class StateLocked(StateError):
    """Another process has the state directory open."""


class SnapshotFailed(StateError):
    """No snapshot was written."""


class StateDamaged(StateError):
    """RocksDB, or a record in it, is corrupt."""


class SettingsMismatch(StateError):
    """The state was written with other counting settings, or in another format."""


class OtherLog(StateError):
    """The log that the state was counted from was replaced by another of its name, or divided differently."""


class BudgetTooSmall(StateError):
    """The memory that stores may take does not hold what a commit needs."""


class StorageFailed(StateError):
    """The disk is full or failing; the state is as of its last commit."""
