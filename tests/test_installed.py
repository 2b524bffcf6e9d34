"""A test whose program is not there is skipped with its reason, and in CI fails with it: the same line in both."""

import pytest
from support import installed

SOMETHING = pytest.mark.needs(lambda: None, "something")


@pytest.mark.parametrize(("in_ci", "ends"), [(False, pytest.skip.Exception), (True, pytest.fail.Exception)])
def test_what_is_not_installed(in_ci: bool, ends: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "MUST_BE_THERE", in_ci)
    with pytest.raises(ends) as said:
        installed.look(SOMETHING.mark)
    assert str(said.value).startswith("not installed: something (")


def test_what_is_installed() -> None:
    installed.look(pytest.mark.needs(lambda: "/usr/bin/something", "something").mark)
