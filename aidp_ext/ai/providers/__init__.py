"""One small file per kind of model server; :func:`make_providers` is the list that the settings ask for."""

from __future__ import annotations

from aidp_ext.ai.config import AiConfig, ollama_url
from aidp_ext.ai.models import Locality
from aidp_ext.ai.providers.base import Provider
from aidp_ext.ai.providers.ollama import Ollama
from aidp_ext.ai.providers.openai_compatible import OpenAICompatible
from aidp_ext.core.http import HttpClient

__all__ = ["Provider", "make_providers"]


def make_providers(config: AiConfig, http: HttpClient) -> list[Provider]:
    """Return the providers that are configured, local ones first. Nothing is contacted."""
    timeouts = {
        "read_timeout_s": config.read_timeout_s,
        "completion_timeout_s": config.completion_timeout_s,
        "probe_timeout_s": config.probe_timeout_s,
    }
    providers: list[Provider] = []
    url = ollama_url(config.ollama_host)
    providers.append(Ollama("ollama", "Ollama", url, http, locality=config.locality_of(url), **timeouts))
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
    cloud: tuple[tuple[str, str, str, str, dict[str, str]], ...] = (
        ("openai", "OpenAI", config.openai_base_url, config.openai_api_key, {}),
        # Both have an endpoint that speaks OpenAI's dialect:
        # https://docs.anthropic.com/en/api/openai-sdk and https://ai.google.dev/gemini-api/docs/openai
        (
            "anthropic",
            "Anthropic",
            config.anthropic_base_url.rstrip("/").removesuffix("/v1") + "/v1",
            config.anthropic_api_key,
            {"anthropic-version": "2023-06-01", "x-api-key": config.anthropic_api_key},
        ),
        ("gemini", "Gemini", config.gemini_base_url.rstrip("/") + "/v1beta/openai", config.gemini_api_key, {}),
    )
    for name, label, base_url, key, headers in cloud:
        if key:
            providers.append(
                OpenAICompatible(
                    name,
                    label,
                    base_url,
                    http,
                    locality=Locality.CLOUD,  # wherever it is reached: a proxy on this machine forwards elsewhere
                    api_key=key,
                    headers=headers,
                    **timeouts,
                )
            )
    return providers
