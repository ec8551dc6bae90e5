"""``context``: what a model would be told."""

from __future__ import annotations

from aidp_ext.ai.base_routes import AiApi
from aidp_ext.ai.context.service import ContextService
from aidp_ext.ai.context.wire import ContextQuestion, ContextSaid, ItemSaid
from aidp_ext.core.web import Route, endpoint

_EXAMPLE = {
    "task": "explain",
    "document": {
        "path": "churn.ipynb",
        "cells": [
            {"id": "a", "source": "import pandas as pd\ndf = pd.read_csv('churn.csv')"},
            {"id": "b", "source": "df.groupby('plan').churned.mean()"},
        ],
        "active": "b",
    },
}


class Context(AiApi):
    """``context``."""

    @endpoint("read", takes=ContextQuestion, example=_EXAMPLE, gives=ContextSaid, statuses=(413,))
    async def post(self) -> None:
        """Choose what a model is told: of the notebook, the kernel and other files. No model is asked."""
        self.check_size()
        service: ContextService = self.settings["aidp_context"]
        chosen = await service.chosen(self.body(ContextQuestion), owner=self.who())
        said = ContextSaid(
            text=chosen.text,
            items=[ItemSaid(item.kind, item.id, item.label, item.characters, item.why) for item in chosen.items],
            summary=chosen.summary,
            withheld=[ItemSaid(item.kind, item.id, item.label, item.characters, item.why) for item in chosen.withheld],
            paths=list(chosen.paths),
            secrets=chosen.secrets,
            id=chosen.id,
        )
        self.reply(said)


ROUTES: tuple[Route, ...] = ((r"ai/context", Context),)
