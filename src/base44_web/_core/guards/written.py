"""How a view was written: its parameters and annotations.

From Python 3.14 on annotations are evaluated when somebody asks (PEP 649), and can name what only a type checker
imports. Who asks `inspect` as usual then gets a `NameError`; so only this module does.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

if sys.version_info >= (3, 14):
    from annotationlib import Format

    _SIGNATURE: dict[str, Any] = {"annotation_format": Format.FORWARDREF}
    _ANNOTATIONS: dict[str, Any] = {"format": Format.FORWARDREF}
else:
    _SIGNATURE: dict[str, Any] = {}
    _ANNOTATIONS: dict[str, Any] = {}

_get_annotations: Callable[..., dict[str, Any]] = inspect.get_annotations


def parameters_of(view: Any) -> list[str]:
    """The names of a view's parameters.

    Raises:
        TypeError: it cannot be called.
        ValueError: nobody knows its parameters.
    """
    return list(inspect.signature(view, **_SIGNATURE).parameters)


def needs_arguments(function: Any) -> bool:
    """Whether a function cannot be called with nothing. Raises as `parameters_of`."""
    parameters = inspect.signature(function, **_SIGNATURE).parameters.values()
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return any(each.default is each.empty and each.kind not in optional for each in parameters)


def annotations_of(view: Any) -> dict[str, Any]:
    """The annotations of a function, by parameter; a reference for what cannot be evaluated."""
    return _get_annotations(view, **_ANNOTATIONS)
