"""The pages, as they are where the framework has no template of that name (`base44_web/<name>.html`)."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from string import Template
from typing import Final

from .reply import Page

_FRAME: Final = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$page_title</title>
$head
</head>
<body>
$main
</body>
</html>
""")

_MESSAGE: Final = Template("""<main>
$brand<h1>$title</h1>
<p>$text</p>
$more
</main>""")

# ruff: noqa: E501
# The script shows the parts of a state (`data-show`) and says its text (`template`); it holds no words of its own.
_CONNECT: Final = Template("""<main data-base44-connect="$connector" data-user="$user" data-next="$next" data-state="$state">
$brand<h1 data-show="start waiting sign-in gone"$unconnected_hidden>Connect $service</h1>
<h1 data-show="connected"$connected_hidden>$service is connected</h1>
<p data-show="start waiting connected"$account_hidden>You are signed in to $app as <b data-account>$account</b>.</p>
<div data-show="start waiting"$start_hidden>
<p>A window opens in which $service asks you what $app may do. You can disconnect at any time on this page.</p>
<form method="post" action="$connect" target="_blank">
<button>Connect $service</button>
</form>
<noscript><p class="quiet">When $service is connected there: <a href="$next">Continue</a></p></noscript>
</div>
<div data-show="connected"$connected_hidden>
<p>$App can use $service for you.</p>
<p><a class="button" href="$next">Continue</a></p>
<form method="post" action="$disconnect">
<input type="hidden" name="next" value="$next">
<button class="plain">Disconnect</button>
</form>
<form data-again data-show="connected" hidden>
<p class="quiet">Does it not work, or have you taken the permission back at $service?</p>
<button class="plain">Reconnect</button>
</form>
</div>
<div data-show="sign-in"$sign_in_hidden>
<p>To connect $service, sign in to $app first.</p>
$sign_in_link
</div>
<div role="status"></div>
<template data-say="waiting">Decide in the window that has opened. This page goes on by itself when $service is connected; if you refused, try again here.</template>
<template data-say="closed"><p>$service is not connected yet. If you refused or closed the window, try again. If you are still deciding, go on in the window.</p><p>Connected, and nothing happens? <a href="$next">Continue</a></p></template>
<template data-say="blocked">Your browser blocked the window. Allow windows for this site, and try again.</template>
<template data-say="offline">This page cannot reach the server. It goes on as soon as that works again.</template>
<template data-say="unavailable">This does not work at the moment. Please try again in a minute.</template>
<template data-say="not-found">$App does not offer $service any more.</template>
<template data-say="expired">This took too long: the link was good for ten minutes. Please try again.</template>
<template data-say="signed-out">You are not signed in any more. Sign in again, and come back to this page.</template>
<template data-say="other-user">Another user has signed in meanwhile. Reload this page, and try again.</template>
<template data-say="connected">$service is connected. One moment…</template>
</main>""")


def render(page: Page) -> str:
    """A page as HTML. Its values are text, and escaped here."""
    # Half a surrogate, which a record can have, becomes a "?".
    values = {key: escape(value).encode("utf-8", "replace").decode() for key, value in page.values.items()}
    head = f'<link rel="stylesheet" href="{values["style"]}">' if values["style"] else ""
    if values.get("script"):
        head += f'\n<script type="module" src="{values["script"]}"></script>'
    name = values["app_name"]
    page_title = f"{values['title']} · {name}" if name else values["title"]
    words = {
        **values,
        "app": name or "this app",
        "App": name or "This app",
        "brand": f'<p class="app">{name}</p>\n' if name else "",
    }
    main = _connect(words) if page.name == "connect" else _message(words)
    return _FRAME.substitute(page_title=page_title, head=head, main=main)


def _message(values: Mapping[str, str]) -> str:
    return _MESSAGE.substitute(values, more=_sign_in_link(values))


def _connect(values: Mapping[str, str]) -> str:
    state = "connected" if values["connected"] else "start" if values["user"] else "sign-in"
    return _CONNECT.substitute(
        values,
        state=state,
        unconnected_hidden=_unless(state != "connected"),
        account_hidden=_unless(state != "sign-in"),
        start_hidden=_unless(state == "start"),
        connected_hidden=_unless(state == "connected"),
        sign_in_hidden=_unless(state == "sign-in"),
        sign_in_link=_sign_in_link(values),
    )


def _sign_in_link(values: Mapping[str, str]) -> str:
    return f'<p><a class="button" href="{values["sign_in"]}">Sign in</a></p>' if values["sign_in"] else ""


def _unless(shown: bool) -> str:
    return "" if shown else " hidden"
