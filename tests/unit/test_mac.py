"""HMAC-SHA256 from prepared states is HMAC-SHA256."""

import hmac

from hypothesis import given
from hypothesis import strategies as st

from gateway.model.mac import Mac


@given(key=st.binary(min_size=1, max_size=200), messages=st.lists(st.binary(max_size=3000), min_size=1, max_size=3))
def test_every_digest_is_the_standard_librarys(key: bytes, messages: list[bytes]) -> None:
    """Short keys and long ones, one message after another."""
    mac = Mac(key)

    assert [mac.digest(message) for message in messages] == [
        hmac.digest(key, message, "sha256") for message in messages
    ]
