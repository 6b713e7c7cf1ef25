"""The provider's consent page and the platform's callback page."""

from __future__ import annotations

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
