"""Fill-in-the-middle prompts for models that know it by special tokens, where the server has no call of its own.

Each template is the published one of the model family:
Qwen2.5-Coder, CodeGemma and StarCoder2 model cards; Code Llama (arXiv 2308.12950, "PSM" with spaces);
DeepSeek-Coder's README (full-width bars); Codestral's suffix-first order in mistral-common; Granite's model card.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class FimTemplate:
    """A prompt with ``{prefix}`` and ``{suffix}``, and the tokens at which the model is to stop."""

    prompt: str
    stop: tuple[str, ...]

    def render(self, prefix: str, suffix: str) -> str:
        """Return the prompt."""
        before, _, after = self.prompt.partition("{prefix}")
        if "{suffix}" in before:  # suffix first
            return before.replace("{suffix}", suffix) + prefix + after
        return before + prefix + after.replace("{suffix}", suffix)


_STARCODER = FimTemplate(
    "<fim_prefix>{prefix}<fim_suffix>{suffix}<fim_middle>",
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<file_sep>", "<|endoftext|>"),
)
_QWEN = FimTemplate(
    "<|fim_prefix|>{prefix}<|fim_suffix|>{suffix}<|fim_middle|>",
    (
        "<|fim_prefix|>",
        "<|fim_suffix|>",
        "<|fim_middle|>",
        "<|file_sep|>",
        "<|repo_name|>",
        "<|endoftext|>",
        "<|im_end|>",
    ),
)
_DEEPSEEK = FimTemplate(
    "<｜fim▁begin｜>{prefix}<｜fim▁hole｜>{suffix}<｜fim▁end｜>",  # noqa: RUF001 (its tokens are written so)
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", "<｜end▁of▁sentence｜>"),  # noqa: RUF001
)

# Patterns over the model's name in lower case; the first that is found holds.
_TEMPLATES: tuple[tuple[re.Pattern[str], FimTemplate], ...] = tuple(
    (re.compile(pattern), template)
    for pattern, template in (
        (r"qwen[\d.]*-?coder|codeqwen|qwen3-coder", _QWEN),
        (r"codegemma", FimTemplate(_QWEN.prompt, (*_QWEN.stop, "<end_of_turn>", "<eos>"))),
        (r"deepseek-coder", _DEEPSEEK),
        (r"starcoder|santacoder|granite.*code|granite-3|refact|stable-?code", _STARCODER),
        (r"code-?llama", FimTemplate("<PRE> {prefix} <SUF>{suffix} <MID>", ("<PRE>", "<SUF>", "<MID>", "<EOT>"))),
        (r"codestral|devstral", FimTemplate("[SUFFIX]{suffix}[PREFIX]{prefix}", ("[SUFFIX]", "[PREFIX]", "</s>"))),
    )
)


def template_for(model: str) -> FimTemplate | None:
    """Return the template for a model's name, or None where its family is not known to have one."""
    name = model.lower()
    return next((template for pattern, template in _TEMPLATES if pattern.search(name)), None)
