"""The network reach: machines that share a log at a Redis or Valkey server."""

from cenote.invalidation.network.lease import LEASE_SECONDS, Lease, Unverified
from cenote.invalidation.network.ledger import Ledger
from cenote.invalidation.network.link import Link
from cenote.invalidation.network.log import NetworkLog
from cenote.invalidation.network.shards import tags_of
from cenote.invalidation.network.spread import SpreadLedger

__all__ = ["LEASE_SECONDS", "Lease", "Ledger", "Link", "NetworkLog", "SpreadLedger", "Unverified", "tags_of"]
