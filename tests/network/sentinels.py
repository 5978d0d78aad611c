"""A master, its replicas, and the sentinels that promote one of them."""

from __future__ import annotations

from tests.network.proxy import Proxy
from tests.network.servers import Server, wait_for

NAME = "mymaster"

# It promotes nobody from whom it has not heard in three info periods. A promotion that it was not told about within
# four publish periods is undone, and it takes a second until the sentinel that did it knows.
PACE = {
    "info-period": 200,
    "ping-period": 400,
    "ask-period": 100,
    "publish-period": 400,
    "tilt-trigger": 60_000,
    "min-link-reconnect-period": 100,
}


class Sentinel(Server):
    """One sentinel process that watches a master from its start."""

    sentinel = True

    def __init__(self, kind, port, quorum):
        """Prepare to watch the master on a port, which so many sentinels must miss."""
        lines = [
            f"sentinel monitor {NAME} 127.0.0.1 {port} {quorum}",
            f"sentinel down-after-milliseconds {NAME} 1000",
            f"sentinel failover-timeout {NAME} 3000",
        ]
        super().__init__(kind, lines=lines)

    @staticmethod
    def _role(keep):
        return []

    def start(self):
        """Start it, and have it look several times a second, not every 1 to 10 s."""
        super().start()
        for option, milliseconds in PACE.items():
            self.ask("DEBUG", option, milliseconds)
        return self

    def ask(self, *words):
        """Return what it answers to a SENTINEL command."""
        with self.client(decode_responses=True) as client:
            return client.execute_command("SENTINEL", *words)

    def about_master(self):
        """Return what it knows of the master."""
        return _pairs(self.ask("MASTER", NAME))

    def about_replicas(self):
        """Return what it knows of each replica."""
        return [_pairs(each) for each in self.ask("REPLICAS", NAME)]


class Sentinels:
    """A master, replicas and sentinels, started and closed together.

    The servers are known by proxies, so that ``isolate`` can part one from the others.
    """

    def __init__(self, kind="valkey", *, replicas=1, sentinels=1, lines=()):
        """Prepare; most of the sentinels must miss a master before it is replaced."""
        self.servers = [Server(kind) for _ in range(1 + replicas)]
        self.proxies = {server: Proxy(server) for server in self.servers}
        for server, proxy in self.proxies.items():
            server._lines += ["replica-announce-ip 127.0.0.1", f"replica-announce-port {proxy.port}", *lines]
        first = self.proxies[self.servers[0]].port
        self.sentinels = [Sentinel(kind, first, sentinels // 2 + 1) for _ in range(sentinels)]
        self._isolated = set()

    def start(self):
        """Start all; return once the replicas follow, and every sentinel knows every other one and every replica."""
        for server in self.servers:
            server.start()
        first, *others = self.servers
        for server in others:
            server.follow(self.proxies[first])
        for sentinel in self.sentinels:
            sentinel.start()
        for sentinel in self.sentinels:
            wait_for(lambda one=sentinel: self._knows_all(one))
        return self

    def close(self):
        """End all processes."""
        for each in (*self.sentinels, *self.proxies.values(), *self.servers):
            each.close()

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
        return "redis://" + ",".join(f"{host}:{port}" for host, port in self.addresses)

    @property
    def addresses(self):
        """Host and port of each sentinel."""
        return [("127.0.0.1", sentinel.port) for sentinel in self.sentinels]

    @property
    def master(self):
        """Whom the first sentinel names."""
        return self._named_by(self.sentinels[0])

    @property
    def replicas(self):
        """All servers but the master, running or not."""
        master = self.master
        return [server for server in self.servers if server is not master]

    def failover(self, *, kill=False):
        """Have another server promoted; return it once all sentinels and replicas agree.

        Args:
            kill: Whether the master is killed, so that the sentinels notice by themselves. Otherwise they are told to
                replace it, and it is a replica at the end.
        """
        old = self.master
        if kill:
            old.kill()
        else:
            wait_for(lambda: self._ordered(old))
        new = self.wait_for_promotion(old)
        self.wait_until_settled()
        return new

    def wait_for_promotion(self, old):
        """Return the new master once all sentinels name the same one, not the old one, and it says so itself."""

        def promoted():
            named = {self._named_by(sentinel) for sentinel in self.sentinels}
            if len(named) != 1 or old in named:
                return None
            (new,) = named
            with new.client() as client:
                return new if client.info("replication")["role"] == "master" else None

        return wait_for(promoted)

    def wait_until_settled(self):
        """Return once every server that runs and is not isolated follows the master."""
        master = self.master
        for server in self.servers:
            if server is not master and server.running and server not in self._isolated:
                wait_for(lambda one=server: one.follows(self.proxies[master]))

    def isolate(self, server):
        """Cut a master off from the others and from the sentinels; its own ``client()`` and port still reach it."""
        self._isolated.add(server)
        self.proxies[server].cut()

    def rejoin(self, server):
        """Have it found again by the others."""
        self.proxies[server].heal()
        self._isolated.discard(server)

    def _named_by(self, sentinel):
        port = int(sentinel.ask("GET-MASTER-ADDR-BY-NAME", NAME)[1])
        return next(server for server, proxy in self.proxies.items() if proxy.port == port)

    def _ordered(self, old):
        """Order a failover unless one is under way; return whether another master is named by now."""
        said = self.sentinels[0].about_master()
        if int(said["port"]) != self.proxies[old].port:
            return True
        # One that finds no replica that was heard from lately is given up.
        if "failover_in_progress" not in said["flags"]:
            self.sentinels[0].ask("FAILOVER", NAME)
        return False

    def _knows_all(self, sentinel):
        master, replicas = sentinel.about_master(), sentinel.about_replicas()
        healthy = [each for each in replicas if (each["flags"], each["master-link-status"]) == ("slave", "ok")]
        known = (len(healthy), int(master["num-other-sentinels"]), master["flags"])
        return known == (len(self.servers) - 1, len(self.sentinels) - 1, "master")


def _pairs(said):
    return said if isinstance(said, dict) else dict(zip(said[::2], said[1::2], strict=True))
