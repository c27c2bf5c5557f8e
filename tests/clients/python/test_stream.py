"""Chat completions that are sent as they come."""

import threading

import pytest
from openai import APITimeoutError, AsyncOpenAI

from conftest import ENDLESS, client_of, says

SUM = "What is 12 + 5?"


def ask(client, **options):
    defaults = {"model": "default", "messages": says(SUM), "temperature": 0, "stream": True}
    return client.chat.completions.create(**{**defaults, **options})


def test_a_stream_says_what_the_whole_answer_says(client):
    whole = ask(client, stream=False)
    chunks = list(ask(client, stream_options={"include_usage": True}))
    assert len({chunk.id for chunk in chunks}) == 1
    *answer, last = chunks
    assert last.choices == []
    assert last.usage.completion_tokens == whole.usage.completion_tokens
    assert all(chunk.usage is None for chunk in answer)
    choices = [chunk.choices[0] for chunk in answer]
    assert choices[0].delta.role == "assistant"
    assert [c.finish_reason for c in choices if c.finish_reason] == ["stop"]

    def joined(field):
        parts = [getattr(choice.delta, field, None) for choice in choices]
        return "".join(part for part in parts if part)

    message = whole.choices[0].message
    assert joined("content") == message.content
    assert joined("reasoning_content") == message.reasoning_content
    assert joined("reasoning") == message.reasoning


def test_thinking_is_streamed_before_the_answer(client):
    kinds = []
    for chunk in ask(client):
        delta = chunk.choices[0].delta
        if getattr(delta, "reasoning_content", None):
            kinds.append("reasoning")
        if delta.content:
            kinds.append("content")
    assert kinds == sorted(kinds, reverse=True)
    assert set(kinds) == {"reasoning", "content"}


def test_choices_are_told_apart(client):
    ends = {}
    for chunk in ask(client, n=3, seed=5, temperature=1.2, max_tokens=40):
        choice = chunk.choices[0]
        if choice.finish_reason:
            ends[choice.index] = choice.finish_reason
    assert sorted(ends) == [0, 1, 2]


def test_the_helper_tells_events_and_puts_the_answer_together(client):
    kinds = []
    with client.chat.completions.stream(
        model="default", messages=says(SUM), logprobs=True, temperature=0
    ) as stream:
        for event in stream:
            kinds.append(event.type)
            if event.type == "content.done":
                assert event.content == "The answer is 17."
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done", "logprobs.content.done"} <= set(kinds)
    choice = final.choices[0]
    assert choice.message.content == "The answer is 17."
    assert choice.finish_reason == "stop"
    spelled = "".join(token.token for token in choice.logprobs.content)
    assert spelled.strip() == choice.message.content


def test_an_answer_that_is_let_go_of_is_not_made(client, metrics):
    stream = ask(client, n=16, temperature=1, extra_body=ENDLESS)
    next(stream)
    assert metrics.answers() > 0
    stream.close()
    metrics.wait_for_quiet()


def test_a_client_that_loses_patience_is_told_and_forgotten(url, metrics):
    with client_of(url, timeout=0.2) as hasty, pytest.raises(APITimeoutError):
        ask(hasty, stream=False, n=32, temperature=1, extra_body=ENDLESS)
    metrics.wait_for_quiet()


def test_answer_now_ends_the_thinking(client):
    stream = ask(client, temperature=1, extra_body=ENDLESS)
    path = f"/chat/completions/{next(stream).id}/answer_now"
    client.post(path, cast_to=object)
    last = [chunk for chunk in stream if chunk.choices][-1].choices[0]
    assert last.model_extra["reasoning_ended_by"] == "user"


def test_many_clients_are_answered_at_once(url):
    answers = []

    def one(number):
        with client_of(url) as client:
            text = "".join(
                chunk.choices[0].delta.content or ""
                for chunk in ask(client, messages=says(f"What is 10 + {number}?"))
            )
        answers.append((number, text))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [(n, f"The answer is {10 + n}.") for n in range(1, 9)]


def test_the_asynchronous_client_is_served_too(url):
    import asyncio

    async def text():
        async with AsyncOpenAI(base_url=url, api_key="unused", max_retries=0) as client:
            parts = [c.choices[0].delta.content or "" async for c in await ask(client)]
            return "".join(parts)

    assert asyncio.run(text()) == "The answer is 17."
