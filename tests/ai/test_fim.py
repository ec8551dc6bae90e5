"""Fill-in-the-middle prompts."""

from __future__ import annotations

import pytest

from aidp_ext.ai.providers.fim import template_for


@pytest.mark.parametrize(
    ("model", "prompt"),
    [
        ("Qwen/Qwen2.5-Coder-7B", "<|fim_prefix|>A<|fim_suffix|>B<|fim_middle|>"),
        ("qwen2.5-coder:1.5b", "<|fim_prefix|>A<|fim_suffix|>B<|fim_middle|>"),
        ("google/codegemma-2b", "<|fim_prefix|>A<|fim_suffix|>B<|fim_middle|>"),
        ("bigcode/starcoder2-3b", "<fim_prefix>A<fim_suffix>B<fim_middle>"),
        ("ibm-granite/granite-3b-code-base", "<fim_prefix>A<fim_suffix>B<fim_middle>"),
        ("codellama/CodeLlama-7b-hf", "<PRE> A <SUF>B <MID>"),
        ("mistralai/Codestral-22B", "[SUFFIX]B[PREFIX]A"),
        ("deepseek-ai/deepseek-coder-1.3b-base", "<｜fim▁begin｜>A<｜fim▁hole｜>B<｜fim▁end｜>"),  # noqa: RUF001
    ],
)
def test_each_family_has_its_own_tokens(model: str, prompt: str) -> None:
    template = template_for(model)
    assert template is not None
    assert template.render("A", "B") == prompt
    assert template.stop


def test_text_that_looks_like_a_placeholder_is_left_alone() -> None:
    for model in ("starcoder", "codestral"):
        template = template_for(model)
        assert template is not None
        rendered = template.render("f'{suffix}'", "f'{prefix}'")
        assert rendered.count("f'{suffix}'") == 1
        assert rendered.count("f'{prefix}'") == 1


def test_other_models_have_none() -> None:
    assert template_for("llama3.2:3b") is None
    assert template_for("gpt-4o") is None
