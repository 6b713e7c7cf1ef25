"""Settings as the config of a Flask or Quart app has them: `BASE44_*` keys, and the app's own secret keys.

Such a config holds credentials, so nothing here raises while it has one: a traceback shows locals.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .config import Settings
from .fields import framework_keys


def config_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in such a config: `BASE44_<FIELD>`, whether there is such a field or not; credentials wrapped."""
    names = [name for name in config if name.startswith("BASE44_") and name != "BASE44_URL_PREFIX"]
    return Settings.wrapped({name.removeprefix("BASE44_").lower(): config[name] for name in names})


def config_secret(config: Mapping[str, Any]) -> dict[str, Any]:
    """The app's own secret keys, wrapped: they seal the session if nothing else is given for that."""
    if not config.get("SECRET_KEY"):
        return {}
    return {"secret": framework_keys(config["SECRET_KEY"], config.get("SECRET_KEY_FALLBACKS"))}
