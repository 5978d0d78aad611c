"""The machine reach: processes of one machine that share a log in a mapped file."""

from cenote.invalidation.machine.directory import prepare_directory
from cenote.invalidation.machine.gate import StoreGate
from cenote.invalidation.machine.log import MachineLog

__all__ = ["MachineLog", "StoreGate", "prepare_directory"]
