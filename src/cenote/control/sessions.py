"""Sessions: who may only look and who may clear, by token or by a signed cookie.

A session is a cookie that says who was signed in and until when, signed with a key made of the tokens. Nothing is
kept, so any process that has the tokens accepts it, and changing a token ends all sessions.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from cenote.control.settings import Settings

__all__ = ["COOKIE", "Caller", "Role", "Sessions"]

Role = Literal["operator", "viewer"]
"""An operator may do everything, a viewer may look."""

COOKIE: Final = "cenote_session"

_WRONG_SECONDS: Final = 60.0
_MOST_WRONG: Final = 10


class Caller(NamedTuple):
    """Who sends a request.

    Attributes:
        role: What they may do.
        way: How they are known: "token", "session", or "local" where there is no token.
        expires: When their session ends, in seconds since the Unix epoch; None where they have none.
    """

    role: Role
    way: Literal["token", "session", "local"]
    expires: int | None = None


class Sessions:
    """Tells callers apart.

    Args:
        settings: The tokens, and how long a session lasts.
    """

    def __init__(self, settings: Settings) -> None:
        self.required = settings.token is not None
        """Whether callers must show who they are."""
        self.viewers = settings.viewer_token is not None
        """Whether there is a token for viewers."""
        self.seconds = int(settings.session_seconds)
        self._tokens: list[tuple[bytes, Role]] = []
        if settings.token is not None:
            self._tokens.append((settings.token.encode(), "operator"))
        if settings.viewer_token is not None:
            self._tokens.append((settings.viewer_token.encode(), "viewer"))
        secret = b"\0".join(token for token, _ in self._tokens)
        self._key = hashlib.sha256(b"cenote session\0" + secret).digest()
        self._wrong: deque[float] = deque(maxlen=_MOST_WRONG)

    def role_of_token(self, given: bytes) -> Role | None:
        """Return what a token allows; None for a wrong one. Every token is compared, in constant time."""
        found: Role | None = None
        for token, role in self._tokens:
            if hmac.compare_digest(given, token):
                found = role
        return found

    def caller(self, headers: dict[bytes, bytes]) -> Caller | None:
        """Return who sends a request, by its headers; None where that is not known.

        A token beats a cookie, and a wrong token is not made good by one.
        """
        if not self.required:
            return Caller("operator", "local")
        given = headers.get(b"authorization")
        if given is not None:
            scheme, _, token = given.partition(b" ")
            role = self.role_of_token(token.strip()) if scheme.lower() == b"bearer" else None
            return None if role is None else Caller(role, "token")
        return self._caller_of_cookie(headers.get(b"cookie", b""))

    def _caller_of_cookie(self, header: bytes) -> Caller | None:
        # Not by the parser of the standard library, which gives up at another application's odd cookie.
        pairs = (part.strip().partition("=") for part in header.decode("latin-1").split(";"))
        value = next((value for name, _, value in pairs if name == COOKIE), "")
        role, _, rest = value.partition(".")
        expires, _, rest = rest.partition(".")
        nonce, _, mac = rest.partition(".")
        if role not in {"operator", "viewer"} or not (expires.isascii() and expires.isdigit() and mac.isascii()):
            return None
        if not hmac.compare_digest(mac, self._sign(role, expires, nonce)) or int(expires) <= time.time():
            return None
        return Caller("operator" if role == "operator" else "viewer", "session", int(expires))

    def issue(self, role: Role) -> tuple[str, Caller]:
        """Begin a session.

        Returns:
            What the cookie says, and whom it stands for.
        """
        expires = int(time.time()) + self.seconds
        nonce = secrets.token_hex(8)
        value = f"{role}.{expires}.{nonce}.{self._sign(role, str(expires), nonce)}"
        return value, Caller(role, "session", expires)

    def _sign(self, role: str, expires: str, nonce: str) -> str:
        return hmac.new(self._key, f"{role}.{expires}.{nonce}".encode(), hashlib.sha256).hexdigest()

    @property
    def wait(self) -> float:
        """Seconds to wait before the next token may be tried; 0 unless many wrong ones were."""
        if len(self._wrong) < _MOST_WRONG:
            return 0.0
        return max(0.0, self._wrong[0] + _WRONG_SECONDS - time.monotonic())

    def note_wrong(self) -> None:
        """Note that a wrong token was tried."""
        self._wrong.append(time.monotonic())
