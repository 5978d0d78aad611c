"""Certificates, made by the program ``openssl``, and a server that is reached by TLS alone."""

from __future__ import annotations

import os
import subprocess

from tests.network.servers import Server

CONFIGURATION = """
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
subjectAltName = ${ENV::ALTERNATIVE}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


class Authority:
    """A certificate authority in a directory."""

    def __init__(self, folder, name="authority"):
        """Make its certificate."""
        self._folder, self._name = folder, name
        (folder / "openssl.cnf").write_text(CONFIGURATION)
        self.certificate, self._key = self._make(name, "authority", "none")

    def issue(self, name, alternative, *more):
        """Make a certificate for a name such as "IP:127.0.0.1", and return the paths of it and of its key."""
        return self._make(name, "leaf", alternative, "-CA", self.certificate, "-CAkey", self._key, *more)

    def _make(self, name, kind, alternative, *more):
        certificate, key = (self._folder / f"{self._name}-{name}.{each}" for each in ("pem", "key"))
        lasting = () if "-passout" in more else ("-nodes",)
        subprocess.run(
            [
                *(
                    "openssl",
                    "req",
                    "-x509",
                    "-config",
                    self._folder / "openssl.cnf",
                    "-extensions",
                    kind,
                    "-days",
                    "2",
                ),
                *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", f"/CN={name}", *lasting),
                *("-out", certificate, "-keyout", key, *more),
            ],
            check=True,
            capture_output=True,
            env={**os.environ, "ALTERNATIVE": alternative},
        )
        return certificate, key


def encrypted(server, authority, identity, *, mutual=False, port=None):
    """Have a server's port speak TLS alone, and return it; the test's own client comes by the socket file.

    Args:
        server: One that is not started yet.
        authority: Whose certificates it trusts.
        identity: The paths of its certificate, and of the key of that.
        mutual: Whether clients need a certificate too.
        port: Another port that speaks TLS, beside the one that does not.
    """
    server._lines[0] = f"port {server.port if port else 0}\ntls-port {port or server.port}"
    server._lines += [f"tls-cert-file {identity[0]}", f"tls-key-file {identity[1]}", "tls-replication yes"]
    server._lines += [f"tls-ca-cert-file {authority.certificate}", f"tls-auth-clients {'yes' if mutual else 'no'}"]
    return server


class TlsServer(Server):
    """A Redis, since the Valkey of the tests cannot do it, that is reached by TLS alone."""

    def __init__(self, authority, identity, **how):
        """Prepare what ``encrypted`` says."""
        super().__init__("redis")
        encrypted(self, authority, identity, **how)

    @property
    def url(self):
        """What a manager connects to."""
        return f"rediss://127.0.0.1:{self.port}/0"
