"""Functions that an answer calls."""

import json

import openai
import pytest
from pydantic import BaseModel

from conftest import CALLER, says

QUESTION = "Is the lamp in room 7 on?"

LAMP = {
    "type": "function",
    "function": {
        "name": "lamp_state",
        "description": "Whether the lamp of a room is on",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"room": {"type": "integer", "enum": [5, 6, 7]}},
            "required": ["room"],
            "additionalProperties": False,
        },
    },
}
DOOR = {
    "type": "function",
    "function": {
        "name": "open_door",
        "parameters": {
            "type": "object",
            "properties": {"side": {"enum": ["left", "right"]}},
            "required": ["side"],
            "additionalProperties": False,
        },
    },
}
BY_NAME = {"type": "function", "function": {"name": "lamp_state"}}


def ask(client, **options):
    defaults = {"messages": says(QUESTION), "tools": [LAMP, DOOR], "temperature": 0}
    # It knows nothing of lamps, and would think about them for long.
    return client.chat.completions.create(
        **{"model": CALLER, "reasoning_effort": "low", **defaults, **options}
    )


def test_a_call_its_result_and_the_answer(client):
    first = ask(client, tool_choice=BY_NAME).choices[0]
    assert first.finish_reason == "tool_calls"
    assert not first.message.content
    (call,) = first.message.tool_calls
    assert call.type == "function"
    assert call.function.name == "lamp_state"
    assert json.loads(call.function.arguments)["room"] in [5, 6, 7]
    result = {"role": "tool", "tool_call_id": call.id, "content": "on"}
    messages = [*says(QUESTION), first.message, result]
    second = ask(client, messages=messages, tool_choice="none").choices[0]
    assert second.finish_reason == "stop"
    assert second.message.content
    assert second.message.tool_calls is None


def test_thinking_comes_before_a_call(client):
    message = ask(client, tool_choice=BY_NAME).choices[0].message
    assert message.reasoning_content
    assert message.tool_calls


def test_a_call_that_is_required_is_made(client):
    answer = ask(client, tool_choice="required", parallel_tool_calls=False, reasoning_effort="none")
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name in ["lamp_state", "open_door"]


def test_only_allowed_tools_are_called(client):
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "open_door"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    answer = ask(client, tool_choice=choice, parallel_tool_calls=False)
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name == "open_door"
    assert json.loads(call.function.arguments)["side"] in ["left", "right"]


def test_no_tool_is_called_where_none_may_be(client):
    choice = ask(client, tool_choice="none").choices[0]
    assert choice.message.tool_calls is None
    assert choice.finish_reason == "stop"


def test_calls_are_streamed(client):
    name, arguments, ids, end = "", "", set(), None
    for chunk in ask(client, tool_choice=BY_NAME, stream=True):
        choice = chunk.choices[0]
        for call in choice.delta.tool_calls or []:
            assert call.index == 0
            ids |= {call.id} - {None}
            name += call.function.name or ""
            arguments += call.function.arguments or ""
        end = choice.finish_reason or end
    assert (name, end, len(ids)) == ("lamp_state", "tool_calls", 1)
    assert json.loads(arguments)["room"] in [5, 6, 7]


class LampState(BaseModel):
    """Whether the lamp of a room is on"""

    room: bool


def test_arguments_become_an_object_of_a_class(client):
    tools = [openai.pydantic_function_tool(LampState, name="lamp_state")]
    answer = client.chat.completions.parse(
        model=CALLER,
        messages=says(QUESTION),
        tools=tools,
        tool_choice=BY_NAME,
        reasoning_effort="low",
    )
    (call,) = answer.choices[0].message.tool_calls
    assert isinstance(call.function.parsed_arguments, LampState)


def test_the_helper_tells_of_calls(client):
    tools = [openai.pydantic_function_tool(LampState, name="lamp_state")]
    with client.chat.completions.stream(
        model=CALLER,
        messages=says(QUESTION),
        tools=tools,
        tool_choice=BY_NAME,
        reasoning_effort="low",
    ) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
    (event,) = done
    assert event.name == "lamp_state"
    assert isinstance(event.parsed_arguments, LampState)


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"tools": [], "tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "none"}}}, "tool_choice"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"tools": [LAMP, LAMP]}, "tools[1].function.name"),
    ],
)
def test_what_cannot_be_called_is_named(client, options, param):
    with pytest.raises(openai.BadRequestError) as error:
        ask(client, **options)
    assert error.value.param == param
