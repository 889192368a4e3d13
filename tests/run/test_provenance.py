"""What run.json says about origin: complete, and different where the origin differs."""

from pathlib import Path

from mssr_rl.run import provenance


def test_versions_name_every_package_and_admit_what_is_not_installed() -> None:
    found = provenance.versions()
    assert found["torch"] is not None
    assert set(provenance.PACKAGES) < set(found)


def test_the_order_of_the_problems_is_part_of_the_fingerprint() -> None:
    assert provenance.order_fingerprint(["a", "b"]) != provenance.order_fingerprint(["b", "a"])
    assert provenance.order_fingerprint(["ab", "c"]) != provenance.order_fingerprint(["a", "bc"])
    assert provenance.order_fingerprint(iter(["a"])) == provenance.order_fingerprint(["a"])


def test_a_model_s_hash_follows_weights_and_settings_not_its_place(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"weights")
        (folder / "config.json").write_bytes(b"{}")
    assert provenance.model_hash(str(one)) == provenance.model_hash(str(two))
    (two / "README.md").write_bytes(b"a card is no weight")
    assert provenance.model_hash(str(one)) == provenance.model_hash(str(two))
    (two / "config.json").write_bytes(b'{"layers": 3}')
    assert provenance.model_hash(str(one)) != provenance.model_hash(str(two))


def test_a_model_that_is_not_on_this_machine_has_no_hash() -> None:
    assert provenance.model_hash("Somebody/Some-Model") is None


def test_peak_memory_is_that_of_a_python_with_torch() -> None:
    assert 50 < provenance.peak_memory_mib() < 100_000
