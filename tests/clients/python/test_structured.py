"""Answers of a given form."""

import json
import re
from enum import Enum
from typing import Annotated, Literal, Optional

import openai
import pytest
from pydantic import BaseModel, ConfigDict, Field

from conftest import says

SUM = "What is 12 + 5?"


class Colour(str, Enum):
    RED = "red"
    GREEN = "green"


class Part(BaseModel):
    colour: Colour
    is_big: bool


class Report(BaseModel):
    """Has an object, a list, a reference, a union and a constant."""

    kind: Literal["report"]
    main: Part
    # A model this small would find no end by itself.
    others: Annotated[list[Part], Field(max_length=2)]
    note: Optional[Literal["none", "some"]]


class Sum(BaseModel):
    model_config = ConfigDict(extra="forbid")
    result: Literal[15, 16, 17, 18]


def test_an_answer_becomes_an_object_of_a_class(client):
    answer = client.chat.completions.parse(
        model="default", messages=says(SUM), response_format=Sum, temperature=0
    )
    choice = answer.choices[0]
    assert choice.finish_reason == "stop"
    assert isinstance(choice.message.parsed, Sum)
    # Only the answer has the form; the thought before it is free.
    assert "12+5=17" in choice.message.reasoning_content


def test_forms_may_be_nested(client):
    for effort in ["none", "low"]:
        answer = client.chat.completions.parse(
            model="default",
            messages=says("Describe something."),
            response_format=Report,
            reasoning_effort=effort,
            seed=3,
            temperature=1,
        )
        report = answer.choices[0].message.parsed
        assert report.kind == "report"
        assert isinstance(report.main.colour, Colour)


def test_the_form_holds_where_the_thought_is_cut(client):
    answer = client.chat.completions.parse(
        model="default",
        messages=says("What is (48 - 19) × 4 - 37?"),
        response_format=Sum,
        reasoning_effort="high",
        extra_body={"thinking": {"budget_tokens": 15}},
    )
    choice = answer.choices[0]
    assert choice.model_extra["reasoning_ended_by"] == "budget"
    assert isinstance(choice.message.parsed, Sum)


def test_the_helper_parses_while_it_streams(client):
    with client.chat.completions.stream(
        model="default", messages=says(SUM), response_format=Sum
    ) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    (done,) = [event for event in events if event.type == "content.done"]
    assert isinstance(done.parsed, Sum)
    assert final.choices[0].message.parsed == done.parsed


def test_every_choice_has_the_form(client):
    answer = client.chat.completions.parse(
        model="default", messages=says(SUM), response_format=Sum, n=4, temperature=2, seed=1
    )
    assert len(answer.choices) == 4
    assert all(isinstance(choice.message.parsed, Sum) for choice in answer.choices)


def test_a_json_object_is_one(client):
    answer = client.chat.completions.create(
        model="default",
        messages=says("Answer in JSON: what is 12 + 5?"),
        response_format={"type": "json_object"},
        seed=1,
    )
    choice = answer.choices[0]
    if choice.finish_reason == "stop":
        assert isinstance(json.loads(choice.message.content), dict)
    else:
        assert choice.message.content.lstrip().startswith("{")


def test_regular_expressions_and_grammars_are_forms_too(client):
    def text(form):
        answer = client.chat.completions.create(
            model="default", messages=says(SUM), extra_body={"response_format": form}
        )
        return answer.choices[0].message.content

    assert re.fullmatch("[0-9]{2}!", text({"type": "regex", "pattern": "[0-9]{2}!"}))
    grammar = 'start: "sum: " /[0-9]/ "."'
    assert re.fullmatch(r"sum: [0-9]\.", text({"type": "grammar", "syntax": "lark", "grammar": grammar}))


def test_an_answer_that_is_cut_is_not_parsed(client):
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(
            model="default",
            messages=says(SUM),
            response_format=Report,
            reasoning_effort="none",
            max_tokens=3,
        )


def refused(client, schema, strict=True):
    form = {"type": "json_schema", "json_schema": {"name": "x", "strict": strict, "schema": schema}}
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model="default", messages=says(SUM), response_format=form)
    return error.value


def test_a_schema_that_cannot_be_kept_is_refused(client):
    loose = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    error = refused(client, loose)
    assert error.param == "response_format.json_schema.schema"
    assert "additionalProperties" in error.message
    optional = {**loose, "additionalProperties": False, "required": []}
    assert "required" in refused(client, optional).message
    assert refused(client, {"type": "object", "not": {}}, strict=False).status_code == 400
