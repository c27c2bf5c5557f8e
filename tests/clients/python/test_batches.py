"""Files, and batches of requests in them."""

import io
import json
import time

import openai
import pytest

from conftest import ENDLESS, says


def line(number, body=None, url="/v1/chat/completions"):
    body = body or {"model": "default", "messages": says(f"What is 10 + {number}?"), "temperature": 0}
    return {"custom_id": f"sum-{number}", "method": "POST", "url": url, "body": body}


def upload(client, lines):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    return client.files.create(file=("sums.jsonl", text.encode()), purpose="batch")


def batch_of(client, lines, endpoint="/v1/chat/completions", **options):
    file = upload(client, lines)
    return client.batches.create(
        input_file_id=file.id, endpoint=endpoint, completion_window="24h", **options
    )


def wait(client, batch, *wanted):
    end = time.monotonic() + 40
    while batch.status not in wanted:
        assert batch.status in ["validating", "in_progress", "finalizing", "cancelling"], batch
        assert time.monotonic() < end, batch
        time.sleep(0.05)
        batch = client.batches.retrieve(batch.id)
    return batch


def lines_of(client, file_id):
    content = client.files.content(file_id)
    return {line["custom_id"]: line for line in map(json.loads, content.text.splitlines())}


def test_a_file_is_kept_listed_and_deleted(client):
    text = json.dumps(line(1)) + "\n"
    file = client.files.create(file=io.BytesIO(text.encode()), purpose="batch")
    assert file.object == "file"
    assert file.bytes == len(text)
    assert file.purpose == "batch"
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).text == text
    assert file.id in [listed.id for listed in client.files.list(purpose="batch", limit=1)]
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


def test_a_file_has_a_purpose_that_there_is(client):
    with pytest.raises(openai.BadRequestError) as error:
        client.files.create(file=b"x", purpose="fine-tune")
    assert error.value.param == "purpose"


def test_a_batch_is_answered_line_by_line(client):
    lines = [line(number) for number in range(1, 7)]
    lines.append(line(7, {"model": "default", "messages": says("x"), "temperature": 9}))
    batch = batch_of(client, lines, metadata={"topic": "sums"})
    assert batch.object == "batch"
    assert batch.metadata == {"topic": "sums"}
    batch = wait(client, batch, "completed")
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (7, 6, 1)
    answers = lines_of(client, batch.output_file_id)
    for number in range(1, 7):
        response = answers[f"sum-{number}"]["response"]
        assert response["status_code"] == 200
        message = response["body"]["choices"][0]["message"]
        assert message["content"] == f"The answer is {10 + number}."
    failed = lines_of(client, batch.error_file_id)
    assert failed["sum-7"]["response"]["status_code"] == 400
    assert failed["sum-7"]["response"]["body"]["error"]["param"] == "temperature"
    assert batch.id in [listed.id for listed in client.batches.list(limit=1)]


def test_responses_are_made_in_batches_too(client):
    url = "/v1/responses"
    lines = [line(n, {"model": "default", "input": f"What is 10 + {n}?"}, url) for n in [1, 2]]
    batch = wait(client, batch_of(client, lines, endpoint=url), "completed")
    answers = lines_of(client, batch.output_file_id)
    assert answers["sum-1"]["response"]["body"]["object"] == "response"
    assert len(answers) == 2


def test_a_batch_is_cancelled(client):
    body = {"model": "default", "messages": says("Hello"), "temperature": 1, **ENDLESS}
    batch = batch_of(client, [line(number, body) for number in range(200)])
    assert client.batches.cancel(batch.id).status in ["cancelling", "cancelled"]
    batch = wait(client, batch, "cancelled")
    assert batch.request_counts.completed < 200
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_none")


def test_others_are_answered_while_a_batch_runs(client):
    body = {"model": "default", "messages": says("Hello"), "temperature": 1, **ENDLESS}
    batch = batch_of(client, [line(number, body) for number in range(200)])
    batch = wait(client, batch, "in_progress")
    answer = client.chat.completions.create(
        model="default", messages=says("What is 12 + 5?"), temperature=0
    )
    assert answer.choices[0].message.content == "The answer is 17."
    assert client.batches.retrieve(batch.id).status == "in_progress"
    client.batches.cancel(batch.id)
    wait(client, batch, "cancelled")


def test_a_file_that_is_no_batch_fails(client):
    file = client.files.create(file=("bad.jsonl", b"{]\n"), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    batch = wait(client, batch, "failed")
    assert batch.errors.data[0].line == 1
    with pytest.raises(openai.OpenAIError):
        client.batches.create(
            input_file_id="file-none", endpoint="/v1/chat/completions", completion_window="24h"
        )
