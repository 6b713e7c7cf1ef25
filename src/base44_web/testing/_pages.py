"""The pages that people see: consent, callback, sign-in. Each says whose page it stands in for."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .._core.catalogue import SERVICES
from .._core.replies.assets import FILES

# The look of the library's own pages, and what those have not: fields, and buttons side by side that take a click at
# once, for nobody is tricked here, and tests need not wait.
_STYLE = (
    FILES["style"][1].decode()
    + """
.stand-in { box-sizing: border-box; width: 100%; padding: .5rem .75rem; border: 1px dashed var(--quiet);
  border-radius: .625rem; color: var(--quiet); font-size: .875rem; }
button { animation: none; }
form { display: flex; flex-wrap: wrap; gap: .75rem; width: 100%; }
.people button { width: 100%; }
label { display: grid; gap: .25rem; width: 100%; font-weight: 600; }
input { box-sizing: border-box; width: 100%; min-height: 2.75rem; padding: .5rem .75rem; border: 1px solid var(--quiet);
  border-radius: .625rem; background: var(--ground); color: inherit; font: inherit; font-weight: 400; }
h2 { margin: .5rem 0 0; font-size: 1.0625rem; }
ul { margin: 0; padding-left: 1.25rem; }
[role="alert"] { font-weight: 600; }
"""
)


def _page(title: str, body: str) -> bytes:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    ).encode()


def _stand_in(whose: str) -> str:
    return (
        '<p class="stand-in"><strong>A stand-in.</strong> '
        f"The real page is {escape(whose)}'s own. This one is the emulator's: nothing leaves this machine.</p>"
    )


def message_page(title: str, text: str) -> bytes:
    return _page(title, f"<p>{escape(text)}</p>")


def consent_page(integration_type: str, app: str, whose: str) -> bytes:
    """What the service asks before it gives an app access; `whose` says for whom."""
    service = SERVICES.get(integration_type, integration_type)
    return _page(
        service,
        f"<p>The app <b>{escape(app)}</b> wants to use {escape(service)} for <b>{escape(whose)}</b>.</p>"
        '<form method="post"><button name="answer" value="approve">Allow</button>'
        '<button class="plain" name="answer" value="refuse">Refuse</button></form>' + _stand_in(service),
    )


def callback_page(*, connected: bool) -> bytes:
    """Where the service sends people back to: a page of the platform, not of the app."""
    title, text = (
        ("Connected", "You can close this window. The app goes on by itself.")
        if connected
        else ("Not connected", "Access was refused. You can close this window, and try again in the app.")
    )
    return _page(title, f"<p>{text}</p>" + _stand_in("Base44"))


def sign_in_page(users: Sequence[tuple[str, str]], provider: str | None, *, failed: bool) -> bytes:
    """Users to continue as; with no provider also an address and a password."""
    buttons = "".join(
        f'<button class="plain" name="user" value="{escape(identifier)}">Continue as {escape(name)}</button>'
        for identifier, name in users
    )
    whose = "Base44" if provider is None else provider.capitalize()
    by_address = (
        '<form method="post"><label>Email <input name="email" type="email" autocomplete="username" required></label>'
        '<label>Password <input name="password" type="password" autocomplete="current-password" required></label>'
        "<button>Sign in</button></form>"
    )
    return _page(
        "Sign in" if provider is None else f"Sign in with {whose}",
        ('<p role="alert">That is no user with this password.</p>' if failed else "")
        + f'<form class="people" method="post">{buttons}</form>'
        + (by_address if provider is None else "")
        + _stand_in(whose),
    )


def overview_page(
    app_id: str, users: Sequence[tuple[str, str]], connectors: Sequence[tuple[str, str, str]], paths: Sequence[str]
) -> bytes:
    """What the emulator has: users as name and address, connectors as kind, ID and integration type."""
    rows = "".join(f"<li>{escape(name)}, {escape(email)}</li>" for name, email in users)
    kinds = "".join(
        f"<li>{escape(kind)}: <code>{escape(each)}</code> ({escape(type_)})</li>" for kind, each, type_ in connectors
    )
    provider = "".join(f"<li><code>{escape(path)}</code></li>" for path in paths)
    return _page(
        "base44-web emulator",
        "<p>This stands in for the Base44 platform while you develop or test: an app with its users and connectors, "
        "and a provider that they connect to. Nothing here is real, and nothing leaves this machine.</p>"
        f"<p>The app is <code>{escape(app_id)}</code>; its API is at <code>/api</code>. "
        '<a href="/login?from_url=/">Sign in</a> as the platform lets people sign in.</p>'
        f"<h2>Users</h2><ul>{rows}</ul><h2>Connectors</h2><ul>{kinds}</ul>"
        f"<h2>The provider</h2><p>It takes the access tokens of live connections:</p><ul>{provider}</ul>",
    )


def popup_page(token: str, origin: str) -> bytes:
    """Hands a token to the page that opened this window, if it is of that origin; that page closes the window."""
    return _page(
        "Signed in",
        "<p>You can close this window.</p>"
        f'<script data-token="{escape(token)}" data-origin="{escape(origin)}">'
        "const { token, origin } = document.currentScript.dataset;"
        "opener?.postMessage({ access_token: token, is_new_user: false }, origin);</script>",
    )
