"""Models, and the older and other interfaces."""

import openai
import pytest

from conftest import CALLER

SUM = "<|im_start|>user\nWhat is 12 + 5?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


def test_models_are_listed_and_shown(client):
    listed = client.models.list()
    assert [model.id for model in listed] == ["default", CALLER]
    model = client.models.retrieve("default")
    assert model.object == "model"
    assert model.model_extra["context_length"] == 1024
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4o")


def test_a_text_is_continued(client):
    answer = client.completions.create(model="default", prompt=SUM, max_tokens=12, temperature=0, logprobs=2)
    choice = answer.choices[0]
    assert answer.object == "text_completion"
    assert "The answer is" in choice.text
    assert len(choice.logprobs.tokens) == len(choice.logprobs.token_logprobs)
    assert answer.usage.completion_tokens <= 12


def test_a_text_is_continued_as_it_comes(client):
    ask = {"model": "default", "prompt": SUM, "max_tokens": 8, "temperature": 0}
    whole = client.completions.create(**ask)
    stream = client.completions.create(**ask, stream=True)
    text = "".join(chunk.choices[0].text for chunk in stream if chunk.choices)
    assert text == whole.choices[0].text


def test_several_prompts_are_continued(client):
    answer = client.completions.create(
        model="default", prompt=["1 + 1", "2 + 2"], n=2, max_tokens=4, echo=True
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert all(choice.text.startswith("1 + 1") for choice in answer.choices[:2])
    assert all(choice.text.startswith("2 + 2") for choice in answer.choices[2:])


def test_a_model_for_text_makes_no_embeddings(client):
    with pytest.raises(openai.BadRequestError) as error:
        client.embeddings.create(model="default", input="hello")
    assert error.value.param == "model"
