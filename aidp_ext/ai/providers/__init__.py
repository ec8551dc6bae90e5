"""One small file per kind of model server; :func:`make_providers` is the list that the settings ask for."""

from __future__ import annotations

from typing import Any

from aidp_ext.ai.config import AiConfig, ollama_url
from aidp_ext.ai.models import Locality
from aidp_ext.ai.providers.anthropic import Anthropic
from aidp_ext.ai.providers.base import Provider
from aidp_ext.ai.providers.gemini import Gemini
from aidp_ext.ai.providers.ollama import Ollama
from aidp_ext.ai.providers.openai import OpenAI
from aidp_ext.ai.providers.openai_compatible import OpenAICompatible
from aidp_ext.ai.providers.plugins import plugged_in
from aidp_ext.core.http import HttpClient

__all__ = ["Provider", "make_providers"]

#: The names of aidp's own providers, whether they are set up or not: no other package may take them.
BUILT_IN = ("ollama", "local", "gateway", "openai", "anthropic", "gemini")


def make_providers(config: AiConfig, http: HttpClient) -> list[Provider]:
    """Return the providers that are configured, local ones first and other packages' last. Nothing is contacted."""
    timeouts = {
        "read_timeout_s": config.read_timeout_s,
        "completion_timeout_s": config.completion_timeout_s,
        "probe_timeout_s": config.probe_timeout_s,
    }
    own = [*_local(config, http, timeouts), *_cloud(config, http, timeouts)]
    return own + plugged_in(config, http, BUILT_IN)


def _local(config: AiConfig, http: HttpClient, timeouts: dict[str, Any]) -> list[Provider]:
    """Return the servers nearby, and the team's gateway."""
    url = ollama_url(config.ollama_host)
    providers: list[Provider] = [
        Ollama("ollama", "Ollama", url, http, locality=config.locality_of(url), **timeouts),
    ]
    if config.local_openai_base_url:
        url = config.local_openai_base_url
        providers.append(
            OpenAICompatible(
                "local",
                "Local model server",
                url,
                http,
                locality=config.locality_of(url),
                api_key=config.local_openai_api_key,
                **timeouts,
            )
        )
    if config.gateway_url and config.gateway_token:
        providers.append(
            OpenAICompatible(
                "gateway",
                "Team gateway",
                config.gateway_url.rstrip("/") + "/aidp/ai/v1",
                http,
                locality=config.locality_of(config.gateway_url),  # of the gateway; it says where each model runs
                api_key=config.gateway_token,
                direct=True,
                forwards_headers=True,
                **timeouts,
            )
        )
    return providers


def _cloud(config: AiConfig, http: HttpClient, timeouts: dict[str, Any]) -> list[Provider]:
    """Return the hosted ones for which there is a key.

    They are cloud wherever they are reached: a proxy on this machine forwards elsewhere.
    """
    usual = {"locality": Locality.CLOUD, **timeouts}
    providers: list[Provider] = []
    if key := config.openai_api_key:
        providers.append(OpenAI("openai", "OpenAI", config.openai_base_url, http, api_key=key, **usual))
    if key := config.anthropic_api_key:
        providers.append(Anthropic("anthropic", "Anthropic", config.anthropic_base_url, http, api_key=key, **usual))
    if key := config.gemini_api_key:
        base_url = config.gemini_base_url.rstrip("/").removesuffix("/v1beta") + "/v1beta"
        providers.append(Gemini("gemini", "Gemini", base_url, http, api_key=key, **usual))
    return providers
