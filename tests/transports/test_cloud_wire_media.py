"""Our token goes to Meta's hosts and the number's own, and nowhere else."""

import pytest
from yarl import URL

from waypost.domain.outcomes import Failed
from waypost.transports.base import Access
from waypost.transports.cloud_api.media import CloudMedia, _allowed
from waypost.transports.cloud_api.wire import Wire

META = URL("https://graph.facebook.com/v26.0")
VENDOR = URL("https://waba-v2.360dialog.io")


@pytest.mark.parametrize(
    ("address", "root", "is_flat", "allowed"),
    [
        ("https://lookaside.fbsbx.com/whatsapp?mid=1&hash=a%2Fb", META, False, "https://lookaside.fbsbx.com/whatsapp?mid=1&hash=a%2Fb"),
        ("https://mmg.whatsapp.net/x", META, False, "https://mmg.whatsapp.net/x"),
        ("http://lookaside.fbsbx.com/x", META, False, None),
        ("https://fbsbx.com.evil.example/x", META, False, None),
        ("https://evilfbsbx.com/x", META, False, None),
        ("https://user@evil.example/x", META, False, None),
        ("https://127.0.0.1/x", META, False, None),
        ("file:///etc/passwd", META, False, None),
        ("/relative", META, False, None),
        ("http://127.0.0.1:8990/m", URL("http://127.0.0.1:8990/v26.0"), False, "http://127.0.0.1:8990/m"),
        ("http://127.0.0.1:8991/m", URL("http://127.0.0.1:8990/v26.0"), False, None),
        ("https://lookaside.fbsbx.com/w?mid=1", VENDOR, True, "https://waba-v2.360dialog.io/w?mid=1"),
        ("/relative", VENDOR, True, None),
    ],
)  # fmt: skip
def test_a_media_address_is_followed_to_known_hosts_only(
    address: str, root: URL, is_flat: bool, allowed: str | None
) -> None:
    found = _allowed(address, root, is_flat)
    assert (None if found is None else str(found)) == allowed


async def test_a_foreign_address_is_refused_without_a_request() -> None:
    wire = Wire(1, 1.0)
    access = Access("num_1", "1", str(META.origin()), "v26.0", "Authorization: Bearer", "secret")
    chunks: list[bytes] = []
    answer = await CloudMedia(wire).download(access, "https://evil.example/x", chunks.append, 100)
    await wire.close()
    assert isinstance(answer, Failed)
    assert (answer.title, answer.reaction, chunks) == ("Address refused", "fail", [])
