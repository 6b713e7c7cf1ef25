"""The pages, as they are where the framework has no template of that name."""

from __future__ import annotations

from html import escape
from string import Template
from typing import Final

from ._replies import Page

_FRAME: Final = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
$style
</head>
<body>
<main>
<h1>$title</h1>
$main
</main>
</body>
</html>
""")


def render(page: Page) -> str:
    """A page as HTML. Its values are text, and escaped here."""
    values = {key: escape(value) for key, value in page.values.items()}
    style = f'<link rel="stylesheet" href="{values["style"]}">' if values.get("style") else ""
    return _FRAME.substitute(title=values["title"], style=style, main=_message(values))


def _message(values: dict[str, str]) -> str:
    link = f'<p><a href="{values["sign_in"]}">Sign in</a></p>' if values.get("sign_in") else ""
    return f"<p>{values['text']}</p>{link}"
