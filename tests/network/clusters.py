"""A cluster: masters that share the slots, and replicas of one that can take its place."""

from __future__ import annotations

from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.crc import key_slot
from tests.network.servers import Server, free_port, wait_for


class Node(Server):
    """One node of a cluster."""

    def __init__(self, kind, lines=()):
        """Prepare; it holds no slots."""
        own = ["cluster-enabled yes", f"cluster-port {free_port()}", "cluster-node-timeout 1000"]
        super().__init__(kind, lines=[*own, "cluster-allow-replica-migration no", *lines])
        self.bus = int(own[1].split()[1])

    def ask(self, *words):
        """Return what it answers to a CLUSTER command."""
        with self.client(decode_responses=True) as client:
            return client.execute_command("CLUSTER", *words)

    @property
    def role(self):
        """What it says that it is, "master" or "slave"."""
        with self.client() as client:
            return client.info("replication")["role"]

    def keys(self, pattern):
        """Return the keys that it has, also as a replica, and that fit a pattern."""
        with self.client() as client:
            client.execute_command("READONLY")
            return client.keys(pattern)

    @property
    def name(self):
        """What the others call it."""
        return self.ask("MYID")


class Cluster:
    """Masters with a third of the slots each, or so, and replicas of the one that holds a namespace."""

    def __init__(self, kind="valkey", *, masters=3, replicas=0, namespace="cenote", lines=()):
        """Prepare; ``start`` starts it.

        Args:
            kind: "valkey" or "redis".
            masters: How many masters there are.
            replicas: How many replicas the one has that holds the namespace.
            namespace: The namespace; or the hash tag of a part of one, which is meant then wherever a namespace is.
            lines: More lines of each node's configuration.
        """
        self.slot = key_slot(f"{{{namespace}}}".encode())
        self.nodes = [Node(kind, lines) for _ in range(masters + replicas)]
        self._masters = masters

    def start(self):
        """Start all; return once each node knows all, and serves."""
        for node in self.nodes:
            node.start()
        masters = self.nodes[: self._masters]
        width = -(-SLOTS // len(masters))
        for number, node in enumerate(masters):
            node.ask("SET-CONFIG-EPOCH", number + 1)
            node.ask("ADDSLOTSRANGE", number * width, min(SLOTS, (number + 1) * width) - 1)
        for node in self.nodes[1:]:
            node.ask("MEET", "127.0.0.1", self.nodes[0].port, self.nodes[0].bus)
        for node in self.nodes:
            wait_for(lambda one=node: f"known_nodes:{len(self.nodes)}\r" in one.ask("INFO"))
        owner = wait_for(lambda: self.owner)  # who knows the nodes may not know their slots yet
        for node in self.nodes[self._masters :]:
            wait_for(lambda one=node: one.ask("REPLICATE", owner.name))
            wait_for(lambda one=node: one.follows(owner))
        self.wait_until_settled()
        return self

    def close(self):
        """End all processes."""
        for node in self.nodes:
            node.close()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *reason):
        self.close()

    @property
    def url(self):
        """What a manager connects to, without its query."""
        return "redis://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    @property
    def owner(self):
        """The node that the first one that runs takes for the master of the namespace."""
        return self._owner_at(next(node for node in self.nodes if node.running))

    def _owner_at(self, node):
        for first, last, (_, port, *_), *_ in node.ask("SLOTS"):
            if first <= self.slot <= last:
                return next(node for node in self.nodes if node.port == port)
        return None

    def wait_until_settled(self):
        """Return once all nodes that run serve, and agree on who has the namespace; return that one."""
        running = [node for node in self.nodes if node.running]

        def agreed():
            owners = {"cluster_state:ok" in node.ask("INFO") and self._owner_at(node) for node in running}
            return len(owners) == 1 and owners.pop()

        return wait_for(agreed)

    def take_over(self, replica):
        """Have a replica take its master's place without asking anybody."""
        replica.ask("FAILOVER", "TAKEOVER")
        wait_for(lambda: self._owner_at(replica) is replica)

    @property
    def another(self):
        """A master that does not have the namespace."""
        owner = wait_for(lambda: self.owner)  # who knows the nodes may not know their slots yet
        return next(node for node in self.nodes if node is not owner and node.role == "master")

    def replica(self):
        """Have the replica follow the node that has the namespace, wherever that went meanwhile, and return it."""
        (found,) = (node for node in self.nodes if node.role == "slave")
        owner = wait_for(lambda: self.owner)  # who knows the nodes may not know their slots yet
        found.ask("REPLICATE", owner.name)
        wait_for(lambda: found.follows(owner))
        return found

    def begin_move(self, source, target):
        """Announce that the slot of the namespace goes to another node."""
        target.ask("SETSLOT", self.slot, "IMPORTING", source.name)
        source.ask("SETSLOT", self.slot, "MIGRATING", target.name)

    def cancel_move(self, source, target):
        """Have it stay where it is."""
        for node in (source, target):
            node.ask("SETSLOT", self.slot, "STABLE")

    def move_keys(self, source, target):
        """Move all keys of the namespace that are there now."""
        with source.client() as client:
            while keys := client.execute_command("CLUSTER", "GETKEYSINSLOT", self.slot, 100):
                client.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)

    def end_move(self, source, target):
        """Give the slot to the node that has its keys."""
        for node in (target, source):
            node.ask("SETSLOT", self.slot, "NODE", target.name)
        self.wait_until_settled()
