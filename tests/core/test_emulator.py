"""What the emulator does to order, beyond what other tests see of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from base44_web import Base44
from base44_web.testing import CALENDAR_ID, WORKSPACE_ID, Emulator


def test_a_token_dies(tmp_path: Path) -> None:
    with Emulator.demo(str(tmp_path / "state.db")) as emulator:
        ada = emulator.add_user("ada@test.example")
        other = emulator.add_user("other@test.example")
        tokens = {emulator.connect(ada, CALENDAR_ID), others := emulator.connect(other, CALENDAR_ID)}
        tokens |= {emulator.share_token("slack")}
        newer = [emulator.expire(ada, CALENDAR_ID), emulator.expire(None, "slack"), emulator.expire(None, WORKSPACE_ID)]
        assert not tokens & set(newer)
        with Base44(
            app_id=emulator.app_id, service_token=emulator.service_token, token=emulator.sign_in(ada),
            transport=emulator.transport,
        ) as base44:  # fmt: skip
            connectors = base44.as_service_role.connectors
            found = [
                connectors.get_current_app_user_connection(CALENDAR_ID), connectors.get_connection("slack"),
                connectors.get_workspace_connection(WORKSPACE_ID),
            ]  # fmt: skip
        assert [each.access_token for each in found] == newer
        assert emulator._state.one("SELECT 1 FROM connections WHERE token = ?", others) is not None
        for user, connector in ((ada, "slack"), (None, CALENDAR_ID), (None, "nobody")):
            with pytest.raises(LookupError):
                emulator.expire(user, connector)
