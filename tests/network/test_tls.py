"""TLS: all holds over it as without, and a server whose certificate does not fit is out of reach."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.network.clusters import Cluster
from tests.network.conftest import Site
from tests.network.encryption import Authority, TlsServer, encrypted
from tests.network.proxy import Proxy
from tests.network.sentinels import Sentinel
from tests.network.servers import Server, agents, free_port, wait_for

from cenote import CacheManager, ClearFailedError, ConfigurationError

HERE = "IP:127.0.0.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A certificate authority."""
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def identity(authority):
    """The certificate of a server at 127.0.0.1, and its key."""
    return authority.issue("server", HERE)


@pytest.fixture
def server(authority, identity):
    with TlsServer(authority, identity) as running:
        yield running


@pytest.fixture
def site(server, authority, tmp_path):
    """Machines that share a server, and trust its authority."""
    found = Site(server, tmp_path, query=f"&ssl_ca_certs={authority.certificate}")
    yield found
    found.end()


@pytest.mark.parametrize("call", ["cache.clear()", "cache.delete('k')", "cache.invalidate_tags('t')"])
def test_a_clear_over_tls_holds_on_another_machine_at_once(site, call):
    site.lease = 30.0
    one, other = site.process("a"), site.process("b", base=site.server.url.replace("rediss:", "valkeys:"))
    # No lease of an earlier incarnation is under way here.
    one.do("caches._log.ledger.ripen(caches._log.incarnation)")
    for process in (one, other):
        site.leased(process)
    site.witness(one, other)
    for process in (one, other, one):
        found = site.clear(process, call)
        # The bell, and not the next renewal or the end of a lease, has told the other one.
        assert found.seconds < 5
        assert not found.lapsed
        site.warm(one, other)
    asked = one.ask("caches._log.ledger.link.calls")
    one.do("before = hits")
    site.warm(one)
    # Its copies are near: what it asks for is not what it reads.
    assert one.ask("caches._log.ledger.link.calls") - asked < one.ask("hits - before")
    assert len(site.judge(one, other).invalidations) == 3


def test_values_of_every_size_come_back_to_many_tasks_at_once(server, authority, tmp_path):
    url = f"{server.url}?dir={tmp_path}/run&ssl_ca_certs={authority.certificate}"
    with CacheManager(url) as caches, CacheManager(url, namespace="other") as others:
        cache = caches.service("shop")
        wait_for(lambda: caches._log.holds_lease)
        # Among them some that come in several records of TLS.
        values = {f"k{number}": "x" * number * 997 for number in range(120)}
        cache.set_many(values)

        async def ask():
            found = await asyncio.gather(*(cache.aget(key) for key in values))
            await cache.aset("later", 1)
            # A connection of TLS may hold back what a loop that waits for its file never hears of: threads read it.
            assert caches._log.ledger.link.line(asyncio.get_running_loop()) is None
            return dict(zip(values, found, strict=True)), await cache.aget("later")

        for _ in range(3):
            assert asyncio.run(ask()) == (values, 1)
        assert cache.get_many(values) == values
        assert asyncio.run(cache.aclear()).entries_cleared == 121
        assert asyncio.run(others.service("shop").aget("later")) is None
        assert asyncio.run(cache.aget("later")) is None


def test_a_server_may_want_to_see_a_certificate(authority, identity, tmp_path):
    certificate, key = authority.issue("client", "DNS:client", "-passout", "pass:a secret")
    with TlsServer(authority, identity, mutual=True) as server:
        trusting = f"{server.url}?dir={tmp_path}/run&ssl_ca_certs={authority.certificate}"
        url = f"{trusting}&ssl_certfile={certificate}&ssl_keyfile={key}"
        with CacheManager(f"{url}&ssl_password=a+secret") as caches:
            wait_for(lambda: caches._log.holds_lease)
            assert caches.clear_all().level == "network"
            assert "secret" not in repr(caches)
        for password in ("", "&ssl_password=another"):
            with pytest.raises(ConfigurationError, match="ssl_password") as caught:
                CacheManager(url + password)
            assert "another" not in str(caught.value)
        with CacheManager(trusting) as caches, pytest.raises(ClearFailedError):
            caches.clear_all()


class Tap(Proxy):
    """A proxy that keeps what clients say."""

    def __init__(self, target):
        self.overheard = []
        super().__init__(target)

    async def _look(self, connection, data):
        self.overheard.append(bytes(data))
        await super()._look(connection, data)


@pytest.fixture
def misfits(authority, tmp_path):
    """Return certificates of servers that clients must not believe, and what is said of each."""
    another = Authority(tmp_path, "another")
    return {
        "unknown": (another.issue("server", HERE), "certificate verify failed"),
        "elsewhere": (authority.issue("elsewhere", "DNS:elsewhere.example"), "not valid for '127.0.0.1'"),
        "plain": (None, "Timeout connecting"),
    }


@pytest.mark.parametrize("misfit", ["unknown", "elsewhere", "plain"])
def test_a_server_whose_certificate_does_not_fit_is_told_nothing(authority, misfits, misfit, tmp_path, caplog):
    certificate, said = misfits[misfit]
    made = Server("redis", lines=["requirepass secret"]) if certificate is None else TlsServer(authority, certificate)
    with made as server, Tap(server) as tap:
        url = f"rediss://:secret@127.0.0.1:{tap.port}/0?dir={tmp_path}/run&lease=0.5"
        begin = time.monotonic()
        with CacheManager(f"{url}&ssl_ca_certs={authority.certificate}") as caches:
            cache = caches.service("shop")
            assert cache.get_or_load("k", lambda: 1) == 1
            with pytest.raises(ClearFailedError, match=said) as caught:
                cache.clear()
            assert caught.value.level == "machine"
            with pytest.raises(ClearFailedError):
                cache.set("k", 1)
            assert said in caplog.text
            assert time.monotonic() - begin < 10
        assert tap.overheard
        # Each beginning of a connection is one of TLS, and nothing else follows it but an alert.
        assert {each[:2] for each in tap.overheard} <= {b"\x16\x03", b"\x15\x03"}
        assert not any(word in each for each in tap.overheard for word in (b"secret", b"AUTH", b"cenote"))


def test_sentinels_and_their_master_are_reached_over_tls(server, authority, identity, tmp_path):
    with encrypted(Sentinel("redis", server.port, 1), authority, identity) as sentinel:
        url = f"rediss://127.0.0.1:{sentinel.port}/0?sentinel=mymaster&dir={tmp_path}/run&lease=0.5"
        with CacheManager(f"{url}&ssl_ca_certs={authority.certificate}") as caches:
            wait_for(lambda: caches._log.holds_lease)
            assert caches.clear_all().level == "network"


@pytest.mark.long
def test_the_nodes_of_a_cluster_are_reached_over_tls(authority, identity, tmp_path):
    cluster = Cluster("redis", lines=["tls-cluster yes"])
    ports = [free_port() for _ in cluster.nodes]
    for node, port in zip(cluster.nodes, ports, strict=True):
        encrypted(node, authority, identity, port=port)
    with cluster:
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        url = f"rediss://{hosts}/0?cluster=1&dir={tmp_path}/run&ssl_ca_certs={authority.certificate}"
        with CacheManager(url) as caches:
            cache = caches.service("shop")
            wait_for(lambda: caches._log.holds_lease)
            cache.set_many({f"k{number}": number for number in range(60)})
            assert cache.get_many([f"k{number}" for number in range(60)]) == {f"k{n}": n for n in range(60)}
            assert cache.clear().entries_cleared == 60
            for node in cluster.nodes:
                with node.client(decode_responses=True) as client:
                    ours = [each for each in client.client_list() if each["laddr"].endswith(f":{node.port}")]
                    # No connection came by the port that speaks without TLS.
                    assert ours == []


def test_a_certificate_is_believed_without_a_look_only_when_that_is_said(authority, tmp_path):
    elsewhere = authority.issue("elsewhere", "DNS:elsewhere.example")
    with TlsServer(authority, elsewhere) as server:
        trusting = f"&ssl_check_hostname=false&ssl_ca_certs={authority.certificate}"
        for number, query in enumerate((trusting, "&ssl_cert_reqs=none")):
            with CacheManager(f"{server.url}?dir={tmp_path}/{number}{query}") as caches:
                assert caches.clear_all().level == "network"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("ssl_cert_reqs=perhaps", "perhaps"),
        ("ssl_ca_certs={folder}/nothing", "ssl_ca_certs"),
        ("ssl_ca_certs={folder}/text", "ssl_ca_certs"),
        ("ssl_ca_path={folder}/nothing", "ssl_ca_path"),
        ("ssl_certfile={folder}/nothing", "ssl_certfile"),
        ("ssl_ciphers=none", "ssl_ciphers"),
        ("ssl_min_version=7", "ssl_min_version"),
        ("ssl_ca=x", "ssl_ca"),
    ],
)
def test_options_of_tls_that_cannot_be_used_are_refused_at_once(query, said, tmp_path):
    (tmp_path / "text").write_text("no certificate")
    with pytest.raises(ConfigurationError, match=said):
        CacheManager(f"rediss://127.0.0.1:1/0?dir={tmp_path}/run&{query.format(folder=tmp_path)}")


def test_options_of_tls_do_not_go_with_a_url_without_it(tmp_path):
    with pytest.raises(ConfigurationError, match="ssl_ca_certs"):
        CacheManager(f"valkey://127.0.0.1:1/0?dir={tmp_path}/run&ssl_ca_certs=x")


def test_a_url_without_tls_keeps_no_process_of_the_machine_from_a_lease(server, authority, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    query = f"?dir={tmp_path}/run"
    # Its agent runs, and never reaches the server.
    with CacheManager(server.url.replace("rediss:", "redis:") + query) as mistaken:
        wait_for(lambda: agents(tmp_path))
        with pytest.raises(ClearFailedError):
            mistaken.clear_all()
        with CacheManager(server.url + query) as caches:
            wait_for(lambda: caches._log.holds_lease)


def test_a_valkey_url_without_tls_leads_to_its_server(kind, tmp_path):
    with Server(kind) as server, CacheManager(f"valkey://127.0.0.1:{server.port}/0?dir={tmp_path}/run") as caches:
        assert caches.clear_all().level == "network"
