"""Settings of the example. `BASE44_*` in the environment fills in what `BASE44` leaves out.

pip install "base44-web[django]" uvicorn
BASE44_APP_ID=… BASE44_SERVICE_TOKEN=… BASE44_APP_USER_CONNECTORS=calendar=69e6… uvicorn project.asgi:application
"""

import os
import secrets

SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or secrets.token_urlsafe(50)
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
ROOT_URLCONF = "project.urls"
INSTALLED_APPS = ["base44_web.django"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "base44_web.django.Base44Middleware",
    "django.middleware.common.CommonMiddleware",
    "project.views.ExplainMiddleware",
]
BASE44 = {"TIMEOUT": 8}
USE_TZ = True

GOOGLE_API_URL = os.environ.get("GOOGLE_API_URL", "https://www.googleapis.com")
SLACK_API_URL = os.environ.get("SLACK_API_URL", "https://slack.com")
