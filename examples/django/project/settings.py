"""Django: a server-rendered site with a calendar that each app user connects, and the app's shared Slack.

The user signs in on /sign-in, whose script gives the token to the session view; from then on a sealed cookie says who
they are. No page needs scripts after that. `BASE44_*` in the environment fills in what `BASE44` leaves out.

pip install "base44-web[django,session]" uvicorn
BASE44_APP_ID=… BASE44_SERVICE_TOKEN=… BASE44_APP_USER_CONNECTORS=calendar=69e6… DJANGO_SECRET_KEY=… \
    uvicorn project.asgi:application
"""

import os
import secrets
import sys
from pathlib import Path

SITE = Path(__file__).resolve().parents[2] / "site"  # what the examples share
sys.path.append(str(SITE))

# It seals the session; give one, or each worker has its own, and every start signs everybody out.
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or secrets.token_urlsafe(50)
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
ROOT_URLCONF = "project.urls"
INSTALLED_APPS = ["django.contrib.staticfiles", "base44_web.django"]
STATIC_URL = "/assets/"
STATICFILES_DIRS = [SITE / "assets"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "project.middleware.ShowcaseMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [SITE],
    }
]
DEFAULT_EXCEPTION_REPORTER_FILTER = "base44_web.django.debug.Base44ReporterFilter"
BASE44 = {
    "APP_NAME": "Daybook",
    "TOKEN_SOURCES": ["header", "session"],
    "SIGN_IN_URL": "/sign-in",
    "CONNECTOR_TYPES": {"calendar": "googlecalendar"},
}
USE_TZ = True

EVENTS = os.environ.get("GOOGLE_API_URL", "https://www.googleapis.com") + "/calendar/v3/calendars/primary/events"
SLACK = os.environ.get("SLACK_API_URL", "https://slack.com") + "/api/auth.test"
