"""What is printed obeys nobody and tells no secret."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssr_rl.outward import MASK, plain, redacted, redacted_tree, secret

TOKEN = "hf_" + "aB3dE5fG7hJ9kL1mN3pQ5rS7"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"401 for {TOKEN}.", f"401 for {MASK}."),
        ("https://me:hunter22@host/x", f"https://{MASK}@host/x"),
        ("Authorization: Bearer abcdefghijklmnop", f"Authorization: Bearer {MASK}"),
        ("GET /x?token=abcdef123&y=1", f"GET /x?token={MASK}&y=1"),
    ],
)
def test_what_looks_like_a_secret_is_masked_and_nothing_else(text: str, kept: str) -> None:
    assert secret(text)
    assert redacted(text) == kept


@pytest.mark.parametrize(
    "text",
    [
        "a fingerprint 57a2a4d5ccc2a8c4f1760c57b62c542a",
        "b4b2f07c20dd464a79d51e83830ec0dbbda71344",
        "runs/vision_r1-mssr-s0-20260101-000000",
        "https://example.org/owner/name",
        "train.rollouts_per_step=256",
        "actor/kl_step",
    ],
)
def test_hashes_paths_and_keys_are_no_secrets(text: str) -> None:
    assert not secret(text)
    assert redacted(text) == text


def test_values_of_variables_named_like_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SERVICE_API_KEY", "open sesame now")
    monkeypatch.setenv("MY_PASSWORD", "short")  # too short: it would mask ordinary words
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "certainly-not")
    monkeypatch.setenv("SERVICE_CREDENTIALS", "/home/me/credentials.json")
    assert not secret("/home/me/credentials.json")
    assert (
        redacted("said open sesame now; short; certainly-not")
        == f"said {MASK}; short; certainly-not"
    )


@pytest.mark.parametrize("name", ["MSSR_JUDGE_KEY", "OPENAI_KEY", "service_key"])
def test_a_variable_whose_name_ends_in_key_is_masked(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "canary-in-a-coal-mine")
    assert secret("a canary-in-a-coal-mine")
    assert redacted("401 for canary-in-a-coal-mine") == f"401 for {MASK}"


def test_trees_are_masked_in_every_leaf() -> None:
    tree = {"a": [TOKEN, {"b": f"x {TOKEN}"}], "n": 1, "none": None}
    assert redacted_tree(tree) == {"a": [MASK, {"b": f"x {MASK}"}], "n": 1, "none": None}
    assert TOKEN not in json.dumps(redacted_tree((TOKEN, {"k": (TOKEN,)})))


@given(st.text())
def test_a_printed_text_holds_nothing_a_terminal_obeys(text: str) -> None:
    printed = plain(text)
    assert not [c for c in printed if (ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160]
    assert not {"\u202e", "\u2066", "\u200b", "\u2028"} & set(printed)
    printed.encode("utf-8")


def test_ordinary_text_is_printed_as_it_is() -> None:
    assert plain("π ≈ 3.14\n\t数 é") == "π ≈ 3.14\n\t数 é"
