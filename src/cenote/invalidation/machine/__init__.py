"""The machine reach: processes of one machine that share a log in a mapped file."""

from cenote.invalidation.machine.directory import prepare_directory
from cenote.invalidation.machine.gate import StoreGate
from cenote.invalidation.machine.log import MachineLog
from cenote.invalidation.machine.mirror import Mirror
from cenote.invalidation.machine.ring import fitted

__all__ = ["MachineLog", "Mirror", "StoreGate", "fitted", "prepare_directory"]
