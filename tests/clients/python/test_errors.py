"""Whatever cannot be done is said in the way that clients know."""

import openai
import pytest

from conftest import ENDLESS, PLACES, client_of, says

SUM = "What is 12 + 5?"


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"n": 0}, "n"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"max_tokens": 1, "max_completion_tokens": 1}, "max_tokens"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"messages": []}, "messages"),
        ({"messages": says("x", "judge")}, "messages[0].role"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"extra_body": {"thinking": {"budget": 5}}}, "thinking.budget"),
        ({"extra_body": {"temprature": 1}}, "temprature"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"store": True}, "store"),
        ({"modalities": ["audio"], "audio": {"voice": "alloy", "format": "wav"}}, "modalities"),
    ],
)
def test_a_wrong_field_is_named(client, options, param):
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(**{"model": "default", "messages": says(SUM), **options})
    assert error.value.param == param
    assert error.value.type == "invalid_request_error"
    assert error.value.message


def test_a_prompt_that_is_too_long_is_told_by_how_much(client):
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model="default", messages=says("12 + " * 1000 + "1"))
    assert error.value.code == "context_length_exceeded"
    assert "1024" in error.value.message


def test_a_model_that_is_not_served_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as error:
        client.chat.completions.create(model="gpt-4o", messages=says(SUM))
    assert error.value.code == "model_not_found"
    assert "gpt-4o" in error.value.message


def test_a_key_is_asked_for(keyed):
    url, key = keyed
    with client_of(url, "wrong") as client, pytest.raises(openai.AuthenticationError) as error:
        client.chat.completions.create(model="default", messages=says(SUM))
    assert error.value.code == "invalid_api_key"
    with client_of(url, key) as client:
        answer = client.chat.completions.create(model="default", messages=says(SUM), temperature=0)
        assert answer.choices[0].message.content == "The answer is 17."


def test_a_full_queue_is_told_and_waited_for(busy):
    ask = {"model": "default", "messages": says(SUM), "temperature": 0}
    # More than fits on the way to a client that reads nothing, so it cannot come to its end.
    stream = busy.chat.completions.create(**ask, stream=True, n=PLACES, extra_body=ENDLESS)
    next(stream)
    with pytest.raises(openai.RateLimitError) as error:
        busy.chat.completions.create(**ask)
    assert int(error.value.response.headers["retry-after"]) > 0
    # A client that may try again waits as long as it was told, and is served.
    patient = busy.with_options(max_retries=3)
    stream.close()
    answer = patient.chat.completions.create(**ask)
    assert answer.choices[0].message.content == "The answer is 17."


def test_an_unknown_path_is_not_found(client):
    with pytest.raises(openai.NotFoundError):
        client.moderations.create(input="x")


def test_a_server_that_is_not_there(client):
    with client_of("http://127.0.0.1:1/v1") as nobody, pytest.raises(openai.APIConnectionError):
        nobody.models.list()
