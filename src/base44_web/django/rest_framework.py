"""The Django REST framework: `request.user` is the app user, and the guards are permissions.

```python
from base44_web.django.rest_framework import AppUserAuthentication, AppUserConnected

class Events(APIView):
    authentication_classes = [AppUserAuthentication]
    permission_classes = [AppUserConnected("calendar")]
```

Beside `base44_web.django` and its middleware, which it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NoReturn, Self

from django.http import HttpResponse

from .._core.installed import missing

try:
    from rest_framework.authentication import BaseAuthentication
    from rest_framework.exceptions import APIException
    from rest_framework.permissions import BasePermission, OperationHolderMixin
    from rest_framework.renderers import BaseRenderer, JSONRenderer
    from rest_framework.request import Request
    from rest_framework.views import APIView
except ModuleNotFoundError as error:
    raise missing(error, "base44_web.django.rest_framework", "rest-framework") from None

from .._core.guards.admit import admit, at_once
from .._core.guards.startup import CONNECTORS, Needs, check_connectors
from .._core.names import AppUserConnector
from .._core.platform.io import BLOCKING, run
from .._core.replies.refuse import described, reply_to
from .._core.replies.reply import problem_document
from .._core.replies.situations import NO_TOKEN
from .._core.replies.visit import Visit
from .._core.secret import Secret
from .._core.values import AppUser
from ..errors import Base44Error, ConfigurationError
from .replies import answered_with, response, visit_of
from .request import _may_cache, _set_may_cache, context_of, decisions_of, get_base44
from .users import RequestUser

__all__ = ["AppUserAuthentication", "AppUserConnected", "AppUserRefused", "AppUserRequired", "RequestUser"]


class AppUserAuthentication(BaseAuthentication):
    """`request.user` is the app user, `request.auth` their token as a `Secret`.

    Who sends no token is nobody; a token that is refused is told so, whatever the view's permissions are. What is sent
    in `Authorization` under another scheme than `Bearer` is left to the other classes of the view.
    """

    def authenticate(self, request: Request) -> tuple[RequestUser, Secret | None] | None:
        """The app user and their token; `None`: nobody is signed in."""
        sent = context_of(request._request).incoming.all("authorization")
        if sent and sent[0].reveal().partition(" ")[0].lower() != "bearer":
            return None
        outcome = _decision(request, Needs())
        if isinstance(outcome, AppUser):
            return RequestUser.of(outcome), get_base44(request._request).token
        if outcome.code == "no_token":
            return None
        return _refuse(outcome, request)

    def authenticate_header(self, request: Request) -> str:
        """For answers of the framework's own, such as to `IsAuthenticated`."""
        assert NO_TOKEN.challenge is not None
        return NO_TOKEN.challenge


class _Guard(OperationHolderMixin, BasePermission):
    """A guard, for `permission_classes` and within `&`, `|` and `~`: where a class is expected, an instance may be."""

    needs: Needs = Needs()

    def __call__(self) -> Self:
        return self

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether the request may pass. Raises where the platform cannot say: not even `~` may then let anybody in."""
        outcome = _decision(request, self.needs)
        if isinstance(outcome, AppUser):
            return True
        if not (isinstance(outcome, Base44Error) and outcome.about_visitor):
            _refuse(outcome, request)
        # Another permission, behind a `|`, may still let them in. If none does, the view asks this what to raise.
        view.permission_denied = partial(_refuse, outcome, request)  # type: ignore[method-assign]
        return False


class AppUserRequired(_Guard):
    """A permission: only a verified app user gets in."""


class AppUserConnected(_Guard):
    """A permission: only app users who have connected all of `connectors` get in.

    In the view, `request.base44.connection(connector)` is at hand.

    Args:
        connectors: names from `APP_USER_CONNECTORS`, or a `ConnectorID` each.
        fresh: whether the platform is to be asked for each request, whatever is remembered.

    Raises:
        TypeError: no connectors, or something else than strings.
    """

    def __init__(self, *connectors: AppUserConnector, fresh: bool = False) -> None:
        self.needs = Needs(check_connectors(connectors, "AppUserConnected"), fresh)
        setattr(self, CONNECTORS, self.needs.connectors)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AppUserConnected) and other.needs == self.needs

    def __hash__(self) -> int:
        return hash(self.needs)


class AppUserRefused(APIException):
    """Whom a guard does not let in, as an exception of the framework's: for an `EXCEPTION_HANDLER` of the project's.

    Attributes:
        status_code: such as 401, 403, 503.
        detail: a sentence; its `code` is the last word of the problem's type, such as `"not-connected"`.
        problem: the members of the problem details, `connect_url` among them.
    """

    def __init__(self, error: Base44Error | ConfigurationError, visit: Visit, retry_after: str | None) -> None:
        situation, more = described(error, visit)
        super().__init__(situation.text, situation.slug)
        self.status_code = situation.status
        self.problem: Mapping[str, Any] = problem_document(situation, more)
        # By these names the framework's own handler finds what becomes a header.
        self.auth_header = situation.challenge
        self.wait = None if retry_after is None else int(retry_after)


class _Answer(BaseRenderer):
    """Writes a guard's answer where one of the framework's is expected: a renderer has the last word on a response.

    To a script, what an exception handler of the project's makes of the refusal is written as it would be without this.
    """

    def __init__(self, refused: AppUserRefused, answer: HttpResponse, usual: BaseRenderer, *, is_page: bool) -> None:
        self.media_type, self.format, self.charset = usual.media_type, usual.format, usual.charset
        self._refused, self._answer, self._usual, self._is_page = refused, answer, usual, is_page

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> Any:
        response, answer = renderer_context["response"], self._answer
        if not self._is_page and data != {"detail": self._refused.detail}:
            for name in answer.headers.keys() - {"Content-Type"}:
                response.headers.setdefault(name, answer.headers[name])
            return self._usual.render(data, accepted_media_type, renderer_context)
        response.status_code = answer.status_code
        for name, value in answer.headers.items():
            response.headers[name] = value
        return answer.content


def _decision(request: Request, needs: Needs) -> AppUser | Base44Error | ConfigurationError:
    """Who may pass, or why they may not: decided once for a request, for which the framework asks several times."""
    context, decided = context_of(request._request), decisions_of(request._request)
    if needs not in decided:
        try:
            user = at_once(context, needs.connectors, fresh=needs.fresh)
            decided[needs] = user or run(admit(BLOCKING, context, needs.connectors, fresh=needs.fresh))
        except (Base44Error, ConfigurationError) as error:
            decided[needs] = error.with_traceback(None)  # that holds frames
    return decided[needs]


def _refuse(error: Base44Error | ConfigurationError, request: Request, *given: object, **more: object) -> NoReturn:
    """Raise for who may not pass, and see to it that they are answered as by every guard."""
    visit = visit_of(request._request)
    reply = reply_to(error, visit, guarded=True)
    assert reply is not None
    refused = AppUserRefused(error, visit, reply.headers.get("Retry-After"))
    # There is none yet where something asks for the user before the framework has looked at `Accept`.
    usual = getattr(request, "accepted_renderer", None) or JSONRenderer()
    answer = response(reply, request._request)
    request.accepted_renderer = _Answer(refused, answer, usual, is_page=visit.navigation)
    request.accepted_media_type = usual.media_type
    raise answered_with(refused, request._request, answer)  # for handlers that know no such error


def _set_may_cache_within(request: Request, value: bool) -> None:
    _set_may_cache(request._request, value)


# What Django's cache notes on the request of a method that it decorates, as `request.py` does for Django's own.
Request._cache_update_cache = property(  # type: ignore[attr-defined]
    lambda request: _may_cache(request._request), _set_may_cache_within
)
