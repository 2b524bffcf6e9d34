"""URLs of stores behind Sentinel: what they say, and that a bad one is named without its password."""

import pytest

from fishladder.runtime.sentinel import SentinelUrl
from fishladder.runtime.store import connect
from fishladder.wire.errors import ConfigError


def test_a_url_names_sentinels_master_login_and_database() -> None:
    url = SentinelUrl.parse("redis+sentinel://app:p%40ss@one:1,two,[::1]:3/main/2")
    assert url.hosts == (("one", 1), ("two", 26379), ("::1", 3))
    assert (url.master, url.options) == ("main", {"username": "app", "password": "p@ss", "db": 2})
    assert SentinelUrl.parse("redis+sentinel://secret@one/main").options == {"password": "secret"}
    tls = SentinelUrl.parse("rediss+sentinel://one/main?ssl_ca_certs=ca.pem&other=1")
    assert tls.options == {"ssl": True, "ssl_ca_certs": "ca.pem"}


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://:secret@one",
        "redis+sentinel://:secret@one:x/main",
        "redis+sentinel://:secret@one/main/x",
        "redis+sentinel://:secret@/main",
    ],
)
def test_a_bad_url_is_named_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match="store URL 'redis") as caught:
        connect(url)
    assert "secret" not in str(caught.value)
