"""What the redirect views show, and where they send a browser."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote_plus

from ..catalogue import SERVICES
from ..config import Settings
from ..incoming.cookies import reads_cookies
from ..replies.refuse import asset, message_page, sign_in_link, tell
from ..replies.reply import Page, Reply, page_reply, private_headers
from ..replies.situations import OTHER_USER
from ..replies.visit import relative
from ..secret import Secret
from ..values import AppUser
from .routes import ViewRequest

# An opener policy here, such as Django's default, would cut the window off: the page could not see that it is open.
_PROVIDER_HEADERS: Final = {"Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "unsafe-none"}


def service_name(settings: Settings, connector: str) -> str:
    """What the pages call the service behind a named connector: by its type in `connector_types`, else by its name."""
    type_ = settings.connector_types.get(connector, connector)
    return SERVICES.get(type_, type_)


def connect_page(asked: ViewRequest, user: AppUser | None, *, connected: bool, provider: str) -> Reply:
    """The page with one button. Without a user, its script looks for the token that the Base44 client keeps."""
    visit, links, name = asked.visit, asked.visit.links, asked.connector
    service = service_name(visit.settings, name)
    sign_in = sign_in_link(visit)
    values = {
        "title": f"{service} is connected" if connected else f"Connect {service}",
        "service": service,
        "app_name": visit.settings.app_name or "",
        "connector": name,
        "account": account(user) if user else "",
        "user": user.id if user else "",
        "connected": "yes" if connected else "",
        "connect": _for_user(relative(visit.here, links.path("connect", name) or ""), user),
        "disconnect": _for_user(relative(visit.here, links.path("disconnect", name) or ""), user),
        "next": _next_link(asked),
        "sign_in": sign_in,
        "style": asset(visit, "style"),
        "script": asset(visit, "script"),
    }
    status = 401 if user is None and reads_cookies(visit.settings) else 200
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return page_reply(status, Page("connect", values), headers, provider=provider)


def _for_user(path: str, user: AppUser | None) -> str:
    # In the address, and not in the form's body alone: something may have read that before us.
    return path + (f"?user={quote(user.id, safe='', errors='replace')}" if user else "")


def _next_link(asked: ViewRequest) -> str:
    """What was given is a path as the browser has it; the app's home is one as this server has it."""
    after = asked.next()
    said = [unquote_plus(field) for field in asked.query.split("&")]
    return relative(asked.visit.here, after) if after == asked.visit.home and f"next={after}" not in said else after


def account(user: AppUser) -> str:
    """How a page calls a user."""
    return user.email or user.full_name or user.id


def to_provider(url: Secret) -> Reply:
    """Send the browser to the provider. 303: what comes next is a GET, without the form's body."""
    return Reply(303, {**private_headers(), "Location": url.reveal(), **_PROVIDER_HEADERS})


def back(path: str, cookie: str | None = None) -> Reply:
    """Send the browser to a page of this server."""
    return Reply(303, {**private_headers(), "Location": path, **({"Set-Cookie": cookie} if cookie else {})})


def already_connected(asked: ViewRequest) -> Reply:
    """For the window that was to show the provider."""
    service = service_name(asked.visit.settings, asked.connector)
    return message_page(200, f"{service} is connected", "You can close this window.", asked.visit)


def other_user(asked: ViewRequest) -> Reply:
    """Somebody else has signed in since the page was made."""
    return tell(OTHER_USER, asked.visit)
