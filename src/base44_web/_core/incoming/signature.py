"""Platform headers that a function of the app signs as it relays a request: `platform_headers="signed"`.

`examples/relay/relay.ts` is the other side. Signed is a JSON array: version, key ID, time (seconds since 1970),
nonce, audience, method, path (decoded, as the relay sends it), query (raw), SHA-256 of the body (hex), and each of
`SIGNED` as its value or null; by HMAC-SHA-256, in hex.

Which part of the mount the relay sends, and which a proxy, a server or the app's settings add on the way, differs from
one deployment to the next; all lead to the same view. So a signature holds over the path as routed and over that with
each part of the mount before it: `signed_paths`.
"""

from __future__ import annotations

import hmac
import json
import logging
import re
import time
from hashlib import sha256
from typing import Final, final

from ...errors import BadRequestError, ConfigurationError, PayloadTooLargeError, ServerError
from ..config import Settings
from ..secret import Opaque
from .replays import WINDOW, Verdict, describe, replay_store
from .request import SIGNATURE, SIGNED, Incoming

logger = logging.getLogger("base44_web")

_FORM = re.compile(r"v=1;k=([A-Za-z0-9_-]{1,64});t=([0-9]{1,12});n=([A-Za-z0-9_-]{22,64});s=([0-9a-f]{64})")
_MOST_PATHS: Final = 16


def signed_paths(path: str, mount: str) -> tuple[str, ...]:
    """The paths that a relay may have sent, and signed, for a request.

    Args:
        path: decoded, with the mount.
        mount: what of it comes before the path as routed; decoded, empty for nothing.

    Returns:
        The path, and the path without the first segments of the mount: first without none, at last without all.
    """
    mount = mount.rstrip("/")
    if not mount or not (path == mount or path.startswith(f"{mount}/")):
        return (path,)
    starts = [at for at, character in enumerate(mount) if character == "/" and at] + [len(mount)]
    found = [path, *(path[at:] or "/" for at in starts[-_MOST_PATHS:])]
    if path == f"{mount}/":  # what some servers and frameworks make of the mount itself
        found.append(mount)
    return tuple(dict.fromkeys(found))


@final
class SignatureCheck(Opaque):
    """Checks the relayed requests of one `Settings`.

    Raises:
        ConfigurationError: the replay store cannot be used.
    """

    __slots__ = ("_settings", "_store", "max_body")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.max_body = settings.relay_max_body
        self._store = replay_store(settings.replay_store)

    def probe(self) -> None:
        """Use the store once, as the server starts. It waits for it: not on an event loop.

        Raises:
            ConfigurationError: the store cannot be used.
        """
        try:
            self._store.open()
        except Exception as error:  # noqa: BLE001 - whatever the store's library raises
            problem = f"The replay_store (BASE44_REPLAY_STORE) cannot be used ({describe(error)})."
        else:
            return
        raise ConfigurationError(problem)  # out here, for the store's frames can hold a password

    def trusts(self, other: SignatureCheck | None) -> bool:
        """Whether another middleware around this one has checked the request already, by the same keys and audience."""
        return other is not None and (self._settings.relay_keys, self._settings.relay_audience) == (
            other._settings.relay_keys,
            other._settings.relay_audience,
        )

    def is_bare(self, incoming: Incoming) -> bool:
        """Whether a request claims nothing: then its visitor is nobody, and its body is not read here."""
        return not any(incoming.all(name) for name in (*SIGNED, SIGNATURE))

    def check_headers(self, incoming: Incoming) -> None:
        """Check what headers alone tell of a request that is not bare, before its body is read.

        Raises:
            BadRequestError: they are not signed by a key of ours, within the window.
        """
        self._signed_form(incoming)

    def check(self, incoming: Incoming, *, paths: tuple[str, ...], query: str, body: bytes) -> None:
        """Check a request that is not bare; waits for the store.

        Args:
            incoming: what came in.
            paths: of which one must be signed: `signed_paths`.
            query: raw.
            body: the first `max_body` + 1 bytes.

        Raises:
            PayloadTooLargeError: the body is larger than is read.
            BadRequestError: the request is not as it was signed, or was here before.
            ServerError: the store cannot tell.
        """
        if len(body) > self.max_body:
            raise PayloadTooLargeError(
                f"A signed body has {self.max_body} bytes at most.", code="body_too_large", about_visitor=True
            )
        key_id, seconds, nonce, signature = self._signed_form(incoming)
        name = f"{self._settings.relay_audience} {key_id} {nonce}"
        if not any(
            hmac.compare_digest(self._signature(incoming, key_id, seconds, nonce, path, query, body), signature)
            for path in paths
        ):
            raise _refused(
                "its signature is wrong: another secret or relay_audience, or something between changed it (for the "
                f"path, {' or '.join(ascii(path[:200]) for path in paths)} would do: a prefix that a proxy takes away "
                "is one to tell the server)"
            )
        try:
            verdict = self._store.add(sha256(name.encode()).hexdigest(), signed=seconds)
        except Exception as error:  # noqa: BLE001 - whatever the store's library raises: nobody is let in
            logger.error(  # noqa: TRY400 - its text can hold a password
                "The replay_store fails, no signed request is let in: %s",
                describe(error),
                extra={"base44_event": "replay_store_failing", "base44_error": describe(error)},
            )
            verdict = None
        if verdict is None:
            raise ServerError("The replay_store fails.", status=503, code="replay_store", retry_after=5)
        if verdict is not Verdict.NEW:
            # What was too early a relay may sign once more.
            raise _refused(verdict.value, retry_after=1 if verdict is Verdict.EARLIER else None)

    def _signed_form(self, incoming: Incoming) -> tuple[str, int, str, str]:
        """Key ID, time, nonce and signature."""
        if any(len(incoming.all(name)) > 1 for name in (*SIGNED, SIGNATURE)):
            raise _refused("it has a header twice")
        found = _FORM.fullmatch(incoming.one(SIGNATURE) or "")
        if found is None:
            raise _refused("it is not signed")
        key_id, seconds, nonce, signature = found.groups()
        if key_id not in self._settings.relay_keys:
            raise _refused("its key is not known")
        if abs(time.time() - int(seconds)) > WINDOW:
            raise _refused("it is too old, or a clock is wrong")
        return key_id, int(seconds), nonce, signature

    def _signature(
        self, incoming: Incoming, key_id: str, seconds: int, nonce: str, path: str, query: str, body: bytes
    ) -> str:
        # Raises nothing: its locals are credentials.
        values = [incoming.all(name)[0].reveal() if incoming.all(name) else None for name in SIGNED]
        audience, digest = self._settings.relay_audience, sha256(body).hexdigest()
        signed = [1, key_id, seconds, nonce, audience, incoming.method, path, query, digest, *values]
        octets = json.dumps(signed, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        return hmac.digest(self._settings.relay_keys[key_id].reveal().encode(), octets, "sha256").hex()


def _refused(reason: str, *, retry_after: float | None = None) -> BadRequestError:
    logger.warning("A relayed request is refused: %s", reason, extra={"base44_event": "relayed_request_refused"})
    # No 401: the visitor's token is not what is wrong, and a page would sign them out.
    return BadRequestError(
        "The signature is refused.", code="bad_signature", about_visitor=True, retry_after=retry_after
    )
