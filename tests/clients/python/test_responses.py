"""The Responses API."""

import json
from typing import Literal

import openai
import pytest
from pydantic import BaseModel

from conftest import CALLER, ENDLESS, client_of, says

SUM = "What is 12 + 5?"
ANSWER = "The answer is 17."


def ask(client, **options):
    return client.responses.create(
        **{"model": "default", "input": SUM, "temperature": 0, **options}
    )


def test_a_response_holds_its_thought_and_its_text(client):
    response = ask(client)
    assert response.object == "response"
    assert response.status == "completed"
    assert response.output_text == ANSWER
    reasoning, message = response.output
    assert reasoning.type == "reasoning"
    assert "12+5=17" in reasoning.content[0].text
    assert message.type == "message"
    assert message.role == "assistant"
    usage = response.usage
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert 0 < usage.output_tokens_details.reasoning_tokens < usage.output_tokens


def test_effort_and_limits(client):
    plain = ask(client, reasoning={"effort": "none"})
    assert [item.type for item in plain.output] == ["message"]
    assert plain.reasoning.effort == "none"
    cut = ask(client, reasoning={"effort": "none"}, max_output_tokens=3)
    assert cut.status == "incomplete"
    assert cut.incomplete_details.reason == "max_output_tokens"
    assert cut.usage.output_tokens == 3
    # What is kept for the answer is more than nothing, however long the thought would be.
    short = ask(client, max_output_tokens=40, extra_body=ENDLESS)
    assert short.output_text


def test_instructions_and_roles(client):
    alone = ask(client, input=says(SUM))
    told = ask(client, instructions="Be brief.", input=says(SUM))
    developer = ask(client, input=says("Be brief.", "developer") + says(SUM))
    assert told.usage.input_tokens == developer.usage.input_tokens > alone.usage.input_tokens
    parts = [{"role": "user", "content": [{"type": "input_text", "text": SUM}]}]
    assert ask(client, input=parts).output_text == ANSWER


def test_events_come_in_order(client):
    events = list(ask(client, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    order = [
        "response.output_item.added",
        "response.reasoning_text.delta",
        "response.reasoning_text.done",
        "response.output_item.done",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.completed",
    ]
    places = [kinds.index(kind) for kind in order]
    # The first content part belongs to the thought where it has one.
    assert places[0] < places[1] < places[2] < places[3]
    assert places[5] < places[6] < places[8]
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == ANSWER == events[-1].response.output_text
    assert client.responses.retrieve(events[-1].response.id).output_text == ANSWER


def test_the_helper_puts_a_stream_together(client):
    with client.responses.stream(model="default", input=SUM, temperature=0) as stream:
        text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == final.output_text == ANSWER


class Sum(BaseModel):
    result: Literal[15, 16, 17, 18]


def test_a_response_becomes_an_object_of_a_class(client):
    response = client.responses.parse(model="default", input=SUM, text_format=Sum)
    assert isinstance(response.output_parsed, Sum)
    with client.responses.stream(model="default", input=SUM, text_format=Sum) as stream:
        stream.until_done()
        assert isinstance(stream.get_final_response().output_parsed, Sum)


LAMP = {
    "type": "function",
    "name": "lamp_state",
    "description": "Whether the lamp of a room is on",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"room": {"type": "integer", "enum": [5, 6, 7]}},
        "required": ["room"],
        "additionalProperties": False,
    },
}


def test_a_call_its_result_and_the_answer(client):
    choice = {"type": "function", "name": "lamp_state"}
    asked = {"model": CALLER, "tools": [LAMP], "reasoning": {"effort": "low"}}
    first = ask(client, input="Is the lamp in room 7 on?", tool_choice=choice, **asked)
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert call.name == "lamp_state"
    assert json.loads(call.arguments)["room"] in [5, 6, 7]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "on"}
    second = ask(
        client, input=[result], previous_response_id=first.id, tool_choice="none", **asked
    )
    assert second.output_text
    # The same without anything being kept.
    history = [*says("Is the lamp in room 7 on?"), *first.output, result]
    third = ask(client, input=history, tool_choice="none", store=False, **asked)
    assert third.output_text == second.output_text


def test_calls_are_streamed(client):
    choice = {"type": "function", "name": "lamp_state"}
    asked = {"model": CALLER, "tools": [LAMP], "reasoning": {"effort": "low"}}
    events = list(ask(client, tool_choice=choice, stream=True, **asked))
    deltas = [e.delta for e in events if e.type == "response.function_call_arguments.delta"]
    (done,) = [e for e in events if e.type == "response.function_call_arguments.done"]
    assert "".join(deltas) == done.arguments
    assert json.loads(done.arguments)["room"] in [5, 6, 7]


def test_a_response_goes_on_from_another(client):
    first = ask(client, metadata={"topic": "sums"})
    second = ask(client, input="What is 20 + 3?", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert "23" in second.output_text
    alone = ask(client, input="What is 20 + 3?")
    assert second.usage.input_tokens > alone.usage.input_tokens
    assert client.responses.retrieve(first.id).metadata == {"topic": "sums"}


def test_what_was_put_in_is_listed(client):
    response = ask(client, input=says("Be brief.", "developer") + says(SUM))
    items = list(client.responses.input_items.list(response.id, order="asc", limit=1))
    assert [item.role for item in items] == ["developer", "user"]
    assert items[1].content[0].text == SUM


def test_reasoning_is_handed_back_sealed(client):
    first = ask(client, store=False, include=["reasoning.encrypted_content"])
    reasoning = first.output[0]
    assert reasoning.encrypted_content
    history = [*says(SUM), *first.output, *says("What is 20 + 3?")]
    assert "23" in ask(client, input=history, store=False).output_text


def test_a_response_is_forgotten(client):
    response = ask(client)
    client.responses.delete(response.id)
    for again in [client.responses.retrieve, client.responses.delete]:
        with pytest.raises(openai.NotFoundError):
            again(response.id)
    unkept = ask(client, store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(unkept.id)


def test_a_response_in_the_background_is_cancelled(client, metrics):
    response = ask(client, background=True, extra_body=ENDLESS, temperature=1)
    assert response.status in ["queued", "in_progress"]
    over = client.responses.cancel(response.id)
    assert over.status == "cancelled"
    assert client.responses.retrieve(response.id).status == "cancelled"
    metrics.wait_for_quiet()


def test_a_response_in_the_background_comes_to_its_end(client):
    import time

    response = ask(client, background=True)
    end = time.monotonic() + 20
    while response.status in ["queued", "in_progress"]:
        assert time.monotonic() < end
        time.sleep(0.05)
        response = client.responses.retrieve(response.id)
    assert response.status == "completed"
    assert response.output_text == ANSWER


def test_what_belongs_to_one_key_is_not_seen_by_another(keyed):
    url, key = keyed
    with client_of(url, key) as mine, client_of(url, key + "-other") as other:
        response = ask(mine)
        assert mine.responses.retrieve(response.id).id == response.id
        with pytest.raises(openai.NotFoundError):
            other.responses.retrieve(response.id)
        with pytest.raises(openai.BadRequestError):
            ask(other, previous_response_id=response.id)


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"input": []}, "input"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"previous_response_id": "resp_none"}, "previous_response_id"),
        ({"include": ["file_search_call.results"]}, "include[0]"),
        ({"temperature": 3}, "temperature"),
        ({"extra_body": {"temprature": 1}}, "temprature"),
    ],
)
def test_a_wrong_field_is_named(client, options, param):
    with pytest.raises(openai.BadRequestError) as error:
        ask(client, **options)
    assert error.value.param == param
