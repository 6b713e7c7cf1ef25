"""App users where Django expects one of its own."""

from __future__ import annotations

from typing import Final, Self

from .._core.values import AppUser


class RequestUser(AppUser):
    """The app user as `request.user`: with what Django and its packages ask of a user.

    App users are not Django's: whatever their role, they have none of its permissions.
    """

    __slots__ = ()
    is_authenticated: Final = True
    is_active: Final = True
    is_anonymous: Final = False
    is_staff: Final = False
    is_superuser: Final = False

    @classmethod
    def of(cls, user: AppUser) -> Self:
        """The same user."""
        return cls(**{name: getattr(user, name) for name in AppUser.__slots__})

    @property
    def pk(self) -> str:
        """The user's ID: by it the framework counts a user's requests."""
        return self.id

    def get_username(self) -> str:
        """Their address, or ID."""
        return self.email or self.id

    __str__ = get_username  # in the browsable API

    def has_perm(self, perm: object, obj: object = None) -> bool:
        """They have none."""
        return False

    has_perms = has_module_perms = has_perm
