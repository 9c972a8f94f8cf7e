"""Limits and levels that are counted otherwise here."""

from __future__ import annotations

from .setting import Choice, Choices, Outcome, Verdict


def request_line(size: int) -> int:
    """`limit_request_line`; 0 is "no limit" there."""
    return size or UNLIMITED_LINE


def request_fields(choice: Choice, choices: Choices) -> Outcome:
    """`limit_request_fields`; 0 is 32768 there, and more than we take."""
    if 1 <= choice.value <= MOST_FIELDS:
        return Outcome(Verdict.EXACT, {"limit_request_fields": choice.value})
    return Outcome(Verdict.APPROXIMATE, {"limit_request_fields": MOST_FIELDS}, f"the most is {MOST_FIELDS}")


def field_size(choice: Choice, choices: Choices) -> Outcome:
    """`limit_request_field_size`. Gunicorn bounds the whole head as well, by the product (http/message.py)."""
    fields = request_fields(Choice(choices.value("limit_request_fields"), None, "", ""), choices)
    count = fields.options["limit_request_fields"]
    assert isinstance(count, int)
    # 0 is its default there, whatever its documentation says.
    head = count * ((choice.value or FIELD_SIZE) + 2) + 4
    return Outcome(Verdict.APPROXIMATE, {"limit_request_head": min(head, LARGEST_HEAD)}, FIELD_SIZE_WHY)


def log_level(choice: Choice, choices: Choices) -> Outcome:
    """`loglevel`. An unknown level is "info" there."""
    if choice.value is None:
        return Outcome(Verdict.EXACT)
    level = choice.value.lower()
    if level in LEVELS:
        return Outcome(Verdict.EXACT, {"log_level": LEVELS[level]})
    return Outcome(Verdict.APPROXIMATE, {"log_level": "info"}, "Gunicorn knows no such level and takes info")


def name(choice: Choice, choices: Choices) -> Outcome:
    """`default_proc_name`: the name unless `proc_name` is one."""
    if not choice.value or choices.value("proc_name") is not None:
        return Outcome(Verdict.EXACT)
    return Outcome(Verdict.EXACT, {"name": choice.value})


def message_size(size: int) -> int:
    """`websocket_max_message_size`; 0 is "no limit" there."""
    return size or UNLIMITED_MESSAGE


MOST_FIELDS = 10_000
"""The most that --limit-request-fields takes."""
UNLIMITED_LINE = 1 << 20
"""What Gunicorn itself reads at most where there is no limit (http/message.py)."""
UNLIMITED_MESSAGE = 1 << 40
LARGEST_HEAD = 1 << 20
"""More would be memory that strangers have."""
FIELD_SIZE = 8190
FIELD_SIZE_WHY = "there is no limit for a single field; all of a request's fields together have one, of fields x size"
LEVELS = {
    "debug": "debug",
    "info": "info",
    "warning": "warn",
    "warn": "warn",
    "error": "error",
    "critical": "error",
}
