"""Asks a server what OpenAI's specification allows, and what it does not, and counts what comes back.

    python -m venv target/conformance
    target/conformance/bin/pip install -r tests/clients/conformance/requirements.txt
    ponder serve --api-key KEY &
    target/conformance/bin/python tests/clients/conformance/run.py \\
        --spec openapi.yaml --url http://127.0.0.1:8080/v1 --key KEY --cases 100

The specification is that of https://github.com/openai/openai-openapi. The exit code is 1 where the
server failed (a status of 5xx, or none) or let somebody in without the key. What else is not as the
specification says is counted and shown, to be judged: it describes what every model of OpenAI's can do,
and what their own server sends is not always what it says.
"""

import argparse
import base64
import collections
import json
import pathlib
import re
import subprocess
import sys

import yaml

# The operations that there are.
OPERATIONS = {
    "/batches": ["get", "post"],
    "/batches/{batch_id}": ["get"],
    "/batches/{batch_id}/cancel": ["post"],
    "/chat/completions": ["post"],
    "/completions": ["post"],
    "/embeddings": ["post"],
    "/files": ["get", "post"],
    "/files/{file_id}": ["get", "delete"],
    "/files/{file_id}/content": ["get"],
    "/models": ["get"],
    "/models/{model}": ["get"],
    "/responses": ["post"],
    "/responses/{response_id}": ["get", "delete"],
    "/responses/{response_id}/cancel": ["post"],
    "/responses/{response_id}/input_items": ["get"],
}

# Whose field `model` says which model answers.
REQUESTS = ["CreateChatCompletionRequest", "CreateCompletionRequest", "CreateEmbeddingRequest", "ResponseProperties"]

CHECKS = [
    "content_type_conformance",
    "ensure_resource_availability",
    "ignored_auth",
    "negative_data_rejection",
    "not_a_server_error",
    "positive_data_acceptance",
    "response_schema_conformance",
    "use_after_free",
]

# What a server must not get wrong.
FATAL = {"ignored_auth", "not_a_server_error"}


def reduced(spec, model):
    """The specification of the operations that there are, about one model."""
    paths = {}
    for path, methods in OPERATIONS.items():
        known = spec["paths"][path]
        paths[path] = {name: known[name] for name in [*methods, "parameters"] if name in known}
    schemas = spec["components"]["schemas"]
    for name in REQUESTS:
        for part in objects(schemas[name]):
            if "model" in part.get("properties", {}):
                part["properties"]["model"] = {"type": "string", "enum": [model]}
    used, new = {}, [paths]
    while new:
        for name in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(new.pop(), default=str)):
            if name in schemas and name not in used:
                used[name] = schemas[name]
                new.append(schemas[name])
    components = {**spec["components"], "schemas": used}
    return {**spec, "paths": paths, "components": components, "tags": []}


def objects(value):
    """All objects in a JSON value."""
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from objects(part)


def scenarios(report):
    for line in report.read_text().splitlines():
        event = json.loads(line)
        if "ScenarioFinished" in event:
            yield event["ScenarioFinished"]["recorder"]


def text_of(response):
    content = response.get("content") or ""
    if isinstance(content, dict):
        content = next(iter(content.values()), "")
    try:
        return base64.b64decode(content, validate=True).decode()
    except ValueError:
        return content


def refusal(text):
    """Field and code of an error, with indices and what was made up left out."""
    try:
        error = json.loads(text)["error"]
    except (ValueError, KeyError, TypeError):
        return "(no error in OpenAI's shape)", None
    if error["code"] == "unknown_parameter":
        return "(a field that the server does not know)", error["code"]
    return re.sub(r"\d+", "N", error["param"] or "-")[:80], error["code"]


def what(result):
    """Where a check failed, and on what."""
    failure = result["failure_info"]["failure"]
    first = failure["message"].splitlines()[0] if failure["message"] else ""
    place = re.search(r"Schema at (\S+):", failure["message"])
    return failure["operation"], failure["title"], place[1] if place else first


def summary(report):
    statuses, refused, checks, failures = (collections.Counter() for _ in range(4))
    for recorder in scenarios(report):
        for case_id, exchange in recorder.get("interactions", {}).items():
            meta = recorder["cases"][case_id]["value"].get("meta") or {}
            is_valid = (meta.get("generation") or {}).get("mode") == "positive"
            kind = "valid" if is_valid else "invalid"
            response = exchange.get("response")
            status = response["status_code"] if response else 0
            statuses[recorder["label"], kind, status] += 1
            if is_valid and status == 400:
                refused[recorder["label"], *refusal(text_of(response))] += 1
        for results in recorder.get("checks", {}).values():
            checks.update((result["name"], result["status"]) for result in results)
            failed = [result for result in results if result["status"] == "failure"]
            # What was refused is counted above, by field.
            shown = [result for result in failed if result["name"] != "positive_data_acceptance"]
            failures.update(map(what, shown))
    return statuses, refused, checks, failures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--spec", type=pathlib.Path, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("target/conformance"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    spec, report = args.out / "spec.json", args.out / "report.ndjson"
    spec.write_text(json.dumps(reduced(yaml.load(args.spec.read_text(), yaml.CSafeLoader), args.model), default=str))
    program = pathlib.Path(sys.executable).parent / "schemathesis"
    command = [program, "run", spec, "--url", args.url, "--header", f"Authorization: Bearer {args.key}"]
    command += ["--checks", ",".join(CHECKS), "--max-examples", str(args.cases), "--seed", "1"]
    command += ["--phases", "examples,coverage,fuzzing,stateful", "--suppress-health-check", "all"]
    command += ["--request-timeout", "60", "--continue-on-failure", "--no-shrink"]
    command += ["--generation-database", "none", "--report", "ndjson", "--report-ndjson-path", report]
    subprocess.run(command, check=False)

    statuses, refused, checks, failures = summary(report)
    print(f"\n{statuses.total()} cases")
    for (label, kind, status), n in sorted(statuses.items()):
        print(f"{n:6} {label}: {kind} → {status or 'no response'}")
    print("\nchecks")
    for (name, status), n in sorted(checks.items()):
        print(f"{n:6} {name}: {status}")
    print("\nnot as specified")
    for (operation, title, place), n in failures.most_common():
        print(f"{n:6} {operation}: {title}: {place}")
    print("\nvalid by the specification, refused")
    for (label, field, code), n in refused.most_common():
        print(f"{n:6} {label}: {field} {code or ''}")
    failed = sum(n for (name, status), n in checks.items() if name in FATAL and status == "failure")
    broken = sum(n for (_, _, status), n in statuses.items() if status == 0 or status >= 500)
    print(f"\n{broken} failures of the server, {failed} checks that must hold failed")
    sys.exit(1 if failed or broken else 0)


if __name__ == "__main__":
    main()
