"""The pages that people see: consent, callback, sign-in."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:4rem auto;padding:0 1rem}"
    "button{font:inherit;padding:.5rem 1rem;margin-right:.5rem}"
    "@media(prefers-color-scheme:dark){body{background:#16181d;color:#eee}}"
)


def _page(title: str, body: str) -> bytes:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    ).encode()


def message_page(title: str, text: str) -> bytes:
    return _page(title, f"<p>{escape(text)}</p>")


def consent_page(integration_type: str, email: str) -> bytes:
    return _page(
        "Example Provider",
        f"<p>This app wants to use <b>{escape(integration_type)}</b> for <b>{escape(email)}</b>. "
        "(This page stands in for the real provider.)</p>"
        '<form method="post"><button name="answer" value="approve">Allow</button>'
        '<button name="answer" value="refuse">Refuse</button></form>',
    )


def callback_page(*, connected: bool) -> bytes:
    if connected:
        return message_page("Connected", "You can close this window.")
    return message_page("Not connected", "Access was refused. You can close this window.")


def sign_in_page(users: Sequence[tuple[str, str]], provider: str | None, *, failed: bool) -> bytes:
    """Users to continue as; with no provider also an address and a password."""
    buttons = "".join(
        f'<p><button name="user" value="{escape(identifier)}">Continue as {escape(name)}</button></p>'
        for identifier, name in users
    )
    title = "Sign in" if provider is None else f"Sign in with {provider.capitalize()}"
    by_address = (
        '<form method="post"><p><label>Email <input name="email" type="email" required></label></p>'
        '<p><label>Password <input name="password" type="password" required></label></p>'
        "<button>Sign in</button></form>"
    )
    return _page(
        title,
        ('<p role="alert">That is no user with this password.</p>' if failed else "")
        + "<p>(This page stands in for the platform's.)</p>"
        + f'<form method="post">{buttons}</form>'
        + (by_address if provider is None else ""),
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
