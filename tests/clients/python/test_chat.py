"""Chat completions that are sent whole."""

import math

from conftest import says

SUM = "What is 12 + 5?"
HARD = "What is (48 - 19) × 4 - 37?"


def ask(client, text=SUM, **options):
    options = {"model": "default", "messages": says(text), "temperature": 0, **options}
    return client.chat.completions.create(**options)


def thought_of(message):
    """Reasoning is no field of OpenAI's; clients keep what they do not know in `model_extra`."""
    return message.model_extra["reasoning_content"]


def test_an_answer_comes_with_its_reasoning(client):
    answer = ask(client)
    assert answer.object == "chat.completion"
    assert answer.model == "default"
    choice = answer.choices[0]
    assert choice.finish_reason == "stop"
    assert choice.message.role == "assistant"
    assert choice.message.content == "The answer is 17."
    assert "12+5=17" in thought_of(choice.message)
    assert choice.message.model_extra["reasoning"] == thought_of(choice.message)
    assert choice.message.tool_calls is None
    assert choice.model_extra["reasoning_ended_by"] == "model"
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    thought = usage.completion_tokens_details.reasoning_tokens
    assert 0 < thought < usage.completion_tokens


def test_a_second_question_takes_the_prompt_from_the_cache(client):
    ask(client, "What is 61 - 23 + 40?")
    usage = ask(client, "What is 61 - 23 + 40?").usage
    assert 0 < usage.prompt_tokens_details.cached_tokens < usage.prompt_tokens


def test_a_developer_is_heard_like_a_system(client):
    answers = []
    for role in ["developer", "system"]:
        messages = says("Be brief.", role) + says(SUM)
        answers.append(ask(client, messages=messages))
    alone = ask(client)
    first, second = [answer.usage.prompt_tokens for answer in answers]
    assert first == second > alone.usage.prompt_tokens
    assert answers[0].choices[0].message.content == answers[1].choices[0].message.content


def test_content_comes_in_parts_and_thoughts_in_the_history(client):
    first = ask(client)
    messages = [
        {"role": "user", "content": [{"type": "text", "text": SUM}]},
        first.choices[0].message.model_dump(exclude_none=True),
        {"role": "user", "content": [{"type": "text", "text": "What is 20 + 3?"}]},
    ]
    second = ask(client, messages=messages)
    assert "23" in second.choices[0].message.content


def test_effort_and_a_budget_limit_the_thought(client):
    def thought(**options):
        answer = ask(client, HARD, **options)
        assert answer.choices[0].message.content
        return answer.usage.completion_tokens_details.reasoning_tokens

    assert thought(reasoning_effort="none") == 0
    high = thought(reasoning_effort="high")
    assert 0 < thought(reasoning_effort="low") < high
    budget = {"thinking": {"budget_tokens": 20}}
    assert 0 < thought(reasoning_effort="high", extra_body=budget) <= 20 < high


def test_several_choices_and_a_seed(client):
    def texts(seed, n=3):
        answer = ask(client, HARD, n=n, seed=seed, temperature=1.5, max_tokens=60)
        assert [choice.index for choice in answer.choices] == list(range(n))
        return [(thought_of(c.message), c.message.content) for c in answer.choices]

    first = texts(7)
    assert len(set(first)) > 1
    assert texts(7) == first
    assert texts(8) != first


def test_logprobs_spell_the_answer(client):
    answer = ask(client, logprobs=True, top_logprobs=3)
    choice = answer.choices[0]
    tokens = choice.logprobs.content
    spelled = b"".join(bytes(token.bytes) for token in tokens).decode()
    assert spelled.strip() == choice.message.content
    for token in tokens:
        assert len(token.top_logprobs) == 3
        assert token.top_logprobs[0].token == token.token
        assert sum(math.exp(top.logprob) for top in token.top_logprobs) < 1.001


def test_stop_texts_and_limits_end_an_answer(client):
    def end(**options):
        answer = ask(client, reasoning_effort="none", **options)
        choice = answer.choices[0]
        return choice.message.content, choice.finish_reason, answer.usage.completion_tokens

    assert end(stop=" is")[:2] == ("The answer", "stop")
    assert end(stop=["never", " answer"])[:2] == ("The", "stop")
    assert end(max_completion_tokens=3)[1:] == ("length", 3)
    assert end(max_tokens=3)[1:] == ("length", 3)


def test_a_bias_bans_a_token(client):
    def first_token(**options):
        answer = ask(client, reasoning_effort="none", max_tokens=1, **options)
        return answer.choices[0].message.content

    free = first_token()
    ids = client.post("../tokenize", body={"content": free, "add_special": False}, cast_to=object)
    banned = {str(token): -100 for token in ids["tokens"]}
    assert first_token(logit_bias=banned) != free


def test_votes_are_counted(client):
    answer = ask(client, temperature=0.5, extra_body={"thinking": {"votes": 3}})
    assert answer.choices[0].message.content == "The answer is 17."
    assert answer.choices[0].model_extra["votes"]
