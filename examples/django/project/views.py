"""A calendar that each app user connects, and the app's shared Slack; one view is sync, the others could be too."""

import logging
from collections.abc import Callable
from pathlib import Path

import httpx2
from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.views.decorators.http import require_GET, require_POST

from base44_web import AuthenticationError, Base44Error, NotConnectedError, Settings
from base44_web.django import HttpRequest

PAGE = Path(__file__).parents[2] / "page" / "index.html"
logger = logging.getLogger(__name__)


class ExplainMiddleware:
    """Says kindly what went wrong."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> JsonResponse | None:
        if isinstance(error, AuthenticationError) and error.visitor:  # and not our service token
            return JsonResponse({"code": "sign_in", "message": "Please sign in."}, status=401)
        if isinstance(error, NotConnectedError):
            body = {"code": "not_connected", "message": "Your calendar is not connected yet."}
            return JsonResponse(body, status=403)
        if isinstance(error, Base44Error):
            logger.error("Base44: %s", error)
            body = {"code": "unavailable", "message": "That did not work. Please try again in a minute."}
            return JsonResponse(body, status=503)
        return None


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(PAGE.read_bytes())


@require_GET
def which_app(request: HttpRequest) -> JsonResponse:
    app = Settings()
    return JsonResponse({"app_id": app.app_id, "server_url": app.app_url or app.server_url})


@require_GET
def slack(request: HttpRequest) -> JsonResponse:
    connection = request.base44.as_service_role.connectors.get_connection("slack")
    answer = httpx2.get(f"{settings.SLACK_API_URL}/api/auth.test", auth=connection, timeout=10)
    return JsonResponse({"team": answer.raise_for_status().json()["team"]})


@require_GET
async def calendar(request: HttpRequest) -> JsonResponse:
    connection = await request.base44.aio.as_service_role.connectors.get_current_app_user_connection("calendar")
    async with httpx2.AsyncClient(timeout=10) as http:
        answer = await http.get(f"{settings.GOOGLE_API_URL}/calendar/v3/calendars/primary/events", auth=connection)
    found = answer.raise_for_status().json()
    return JsonResponse({"user": found["summary"], "events": [event["summary"] for event in found["items"]]})


# No CSRF token is needed here: the app user's token comes in a header, which no other site can send.
@require_POST
async def connect(request: HttpRequest) -> JsonResponse:
    # The URL is a credential: for this user's browser, once.
    url = await request.base44.aio.connectors.connect_app_user("calendar")
    return JsonResponse({"redirect_url": url}, headers={"Cache-Control": "no-store"})


@require_POST
async def disconnect(request: HttpRequest) -> JsonResponse:
    await request.base44.aio.connectors.disconnect_app_user("calendar")
    return JsonResponse({"connected": False})
