"""Clients of the servers that `cargo xtask clients` starts, and what tests ask them."""

import os
import time
import urllib.request

import pytest
from openai import OpenAI

# The model that is served beside the one in the program: the same, told how to call tools.
CALLER = "caller"

# A thought that fills the context, so that there is time to do something about it.
ENDLESS = {"thinking": {"min_tokens": 100_000, "loop_guard": False}}

# Answers that the busy server makes at a time.
PLACES = 16


def client_of(url, key="unused", **options):
    options = {"max_retries": 0, "timeout": 60, **options}
    return OpenAI(base_url=url, api_key=key, **options)


def says(text, role="user"):
    return [{"role": role, "content": text}]


@pytest.fixture(scope="session")
def url():
    return os.environ["PONDER_URL"]


@pytest.fixture(scope="session")
def client(url):
    """A client that is told of every failure."""
    with client_of(url) as client:
        yield client


@pytest.fixture(scope="session")
def keyed():
    """Address and key of a server that asks for one."""
    return os.environ["PONDER_KEYED_URL"], os.environ["PONDER_KEY"]


@pytest.fixture(scope="session")
def busy():
    """A client of a server that makes `PLACES` answers at a time and lets none wait."""
    with client_of(os.environ["PONDER_BUSY_URL"]) as client:
        yield client


class Metrics:
    def __init__(self, url):
        self.url = url + "/metrics"

    def answers(self):
        """Answers under way: those that nobody reads at the moment count as waiting."""
        with urllib.request.urlopen(self.url, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        names = ("ponder_answers_running{", "ponder_answers_waiting{")
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(names))

    def wait_for_quiet(self, seconds=10):
        end = time.monotonic() + seconds
        while self.answers() > 0:
            assert time.monotonic() < end, f"{self.answers()} answers are still being made"
            time.sleep(0.02)


@pytest.fixture(scope="session")
def metrics(url):
    return Metrics(url)
