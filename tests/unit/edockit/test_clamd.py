"""Answers of clamd: only what is whole and plain is an answer."""

import pytest

from edockit.clamd import ReplyKind, ScanBrokenError, ScanReply, parse_reply


def test_the_three_answers_are_read() -> None:
    assert parse_reply("stream: OK") == ScanReply(ReplyKind.CLEAN)
    assert parse_reply("stream: Eicar-Test FOUND") == ScanReply(ReplyKind.FOUND, "Eicar-Test")
    refused = parse_reply("INSTREAM size limit exceeded. ERROR")
    assert refused == ScanReply(ReplyKind.REFUSED, "INSTREAM size limit exceeded.")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "OK",
        "stream: ok",
        "stream: OK\n",
        "stream: OK stream: OK",
        "stream:  FOUND",
        "stream: a b FOUND",
        "stream: OK FOUND more",
        "stream: Evil FOUND\nstream: OK",
        "\x1b[2J ERROR",
        "x" * 2000 + " ERROR",
    ],
)
def test_anything_else_is_no_answer(text: str) -> None:
    with pytest.raises(ScanBrokenError):
        parse_reply(text)
