"""Class names: from metadata in the forms exporters write, from text files, and bounded when somebody means ill."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishladder.inference.adapters.signature import Signature, class_names, read_class_names
from fishladder.wire.errors import ModelError

PATH = Path("m.onnx")


def names_in(written: str) -> list[str] | None:
    return class_names(Signature(PATH, (), (), {"names": written}))


@pytest.mark.parametrize(
    "written",
    ["{0: 'cat', 1: \"dog's\"}", '{"1": "dog\'s", "0": "cat"}', '["cat", "dog\'s"]', "('cat', 'dog\\'s')"],
)
def test_the_forms_exporters_write(written: str) -> None:
    assert names_in(written) == ["cat", "dog's"]


def test_none_written() -> None:
    assert class_names(Signature(PATH, (), (), {})) is None


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("{1: 'cat', 2: 'dog'}", "without gaps"),
        ("{'a': 'cat'}", "keys are not numbers"),
        ("{0: 1}", "not a list of names"),
        ('"cat"', "not a list of names"),
        ("7", "not a list of names"),
        ("[]", "0 names"),
        ("__import__('os').getcwd()", "neither JSON nor a Python literal"),
        ("[" * 100_000, "neither JSON nor a Python literal"),
        ("'" + "x" * (1 << 20), "longer than"),
        (repr(["x" * 101]), "longer than 100 characters"),
        (repr(["x"] * 10_001), "expected 1 to 10000"),
    ],
)
def test_what_cannot_be_class_names(written: str, why: str) -> None:
    with pytest.raises(ModelError, match=why) as failure:
        names_in(written)
    assert "m.onnx" in str(failure.value)
    assert len(str(failure.value)) < 300


@given(st.text(max_size=60))
def test_whatever_is_written_is_names_or_an_error(written: str) -> None:
    with suppress(ModelError):
        assert names_in(written)


def test_a_text_file(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("person\r\n  traffic light \n\n")
    assert read_class_names(path) == ["person", "traffic light"]
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ModelError, match=r"names\.txt: not a text file"):
        read_class_names(path)
    path.write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(ModelError, match=r"names\.txt: more than"):
        read_class_names(path)
    path.write_text("\n")
    with pytest.raises(ModelError, match=r"names\.txt: 0 names"):
        read_class_names(path)
