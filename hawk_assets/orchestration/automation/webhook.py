"""Alerts, and the webhook that takes them: ``HAWK_WEBHOOK``."""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import requests

from hawk_assets.core.errors import AlertError

_TIMEOUT_SECONDS = 10
_K = TypeVar("_K")


@dataclass(frozen=True)
class Alert:
    """:param text: one line, for people
    :param facts: the same, for programs
    """

    text: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Webhook:
    """:param address: takes a JSON object with a ``text``, as Slack, Teams and Mattermost do
    :param ui_url: address of the Dagster UI, or None
    """

    address: str
    ui_url: str | None = None

    def post(self, alert: Alert) -> None:
        """Post the text as Slack wants it: ``<``, ``>`` and ``&`` are no markup.

        :raises AlertError: not delivered; the message omits the address, which is a secret
        """
        try:
            answer = requests.post(
                self.address,
                json={"text": html.escape(alert.text, quote=False), **alert.facts},
                timeout=_TIMEOUT_SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise AlertError(f"HAWK_WEBHOOK cannot be reached: {type(error).__name__}") from None
        if not 200 <= answer.status_code < 300:
            raise AlertError(f"HAWK_WEBHOOK answered {answer.status_code} {answer.reason}")

    def post_all(self, alerts: Mapping[_K, Alert]) -> tuple[list[_K], str]:
        """Post one alert after the other, and stop at the first that is not delivered.

        :return: the keys of the delivered alerts, and a summary for the log
        :raises AlertError: not even the first was delivered
        """
        delivered: list[_K] = []
        for key, alert in alerts.items():
            try:
                self.post(alert)
            except AlertError as error:
                if not delivered:
                    raise
                return delivered, f"{len(delivered)} of {len(alerts)} alerts sent: {error}"
            delivered.append(key)
        plural = "alert" if len(delivered) == 1 else "alerts"
        return delivered, f"{len(delivered) or 'no'} {plural} sent"

    def link(self, run_id: str) -> str | None:
        """The page of a run in the Dagster UI."""
        return f"{self.ui_url.rstrip('/')}/runs/{run_id}" if self.ui_url else None
