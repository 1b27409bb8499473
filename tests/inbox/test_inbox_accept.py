"""Taking callbacks: the signature over the raw bytes, once each, on disk or refused."""

import json
from pathlib import Path

import pytest
import structlog
from tests import engines
from tests.inbox.callback_support import Bench, new_bench, said, sign
from tests.support import SeededNumber

from waypost.domain.errors import Forbidden, Unavailable
from waypost.inbox.accept import CallbackInbox
from waypost.store.engine import single
from waypost.store.transaction import Transaction


async def _stored(bench: Bench) -> int:
    return int((await bench.row("SELECT count(*) FROM callbacks"))[0])


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "sha256=",
        "sha256=" + "0" * 64,
        sign(b"{}", b"another-secret"),
        sign(b"{} "),
        sign(b"{}").removeprefix("sha256="),
        "sha1=" + sign(b"{}").removeprefix("sha256="),
        "sha256=é",
    ],
)
async def test_a_forged_callback_is_refused_counted_and_not_stored(
    tmp_path: Path, signature: str | None
) -> None:
    bench = await new_bench(tmp_path)
    with pytest.raises(Forbidden) as refused:
        await bench.inbox.accept(bench.number.app_id, signature, b"{}")
    assert refused.value.code == "callback_forged"
    assert bench.inbox.forged == 1
    assert await _stored(bench) == 0


async def test_an_unknown_app_is_answered_like_a_wrong_signature(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    raw = bench.sample("text")
    with pytest.raises(Forbidden) as unknown:
        await bench.inbox.accept("app_nobody", sign(raw), raw)
    with pytest.raises(Forbidden) as forged:
        await bench.inbox.accept(bench.number.app_id, sign(raw, b"x"), raw)
    assert (unknown.value.code, unknown.value.message) == (forged.value.code, forged.value.message)


async def test_a_refusal_is_logged_without_content(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    raw = bench.messages(said("wamid.1", "my PIN is 4711"))
    with structlog.testing.capture_logs() as logs, pytest.raises(Forbidden):
        await bench.inbox.accept(bench.number.app_id, "sha256=00", raw)
    assert [entry["event"] for entry in logs] == ["callback_refused"]
    assert logs[0]["size_bytes"] == len(raw)
    assert "4711" not in str(logs)


async def test_the_signature_is_over_the_bytes_as_they_came_with_non_ascii_escaped(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    raw = bench.messages(said("wamid.1", "Grüße 👋"))
    assert b"\\u00fc" in raw
    rewritten = json.dumps(json.loads(raw), ensure_ascii=False).encode()
    with pytest.raises(Forbidden):
        await bench.inbox.accept(bench.number.app_id, sign(raw), rewritten)
    await bench.receive(raw)
    (event,) = await bench.events("inbound.received")
    assert (await bench.content(event))["text"]["body"] == "Grüße 👋"


async def test_the_same_callback_again_is_taken_and_kept_once(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    raw = bench.sample("text")
    assert await bench.take(raw) is True
    assert await bench.take(raw) is False
    await bench.read()
    assert await bench.take(raw) is False
    await bench.read()
    assert len(await bench.events("inbound.")) == 1


@single
def _replace_secret(tx: Transaction, number: SeededNumber) -> None:
    sealed = tx.codec.seal(f"app:{number.app_id}:secret", b"new-secret")
    tx.execute("UPDATE apps SET secret = ? WHERE id = ?", (sealed, number.app_id))


async def test_a_new_secret_works_within_a_second_and_the_old_one_ends_within_five(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.take(b'{"entry": [1]}')
    await bench.store.write(_replace_secret, bench.number)
    bench.clock.advance(1)
    raw = b'{"entry": [2]}'
    assert await bench.inbox.accept(bench.number.app_id, sign(raw, b"new-secret"), raw) is True
    bench.clock.advance(5)
    with pytest.raises(Forbidden):
        await bench.take(b'{"entry": [3]}')


async def test_forgetting_makes_a_new_secret_work_at_once(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    await bench.take(b'{"entry": [1]}')
    await bench.store.write(_replace_secret, bench.number)
    bench.inbox.forget(bench.number.app_id)
    with pytest.raises(Forbidden):
        await bench.take(b'{"entry": [2]}')


async def test_a_full_disk_refuses_a_callback_which_is_taken_when_it_comes_again(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    raw = bench.messages(said("wamid.1", "x" * 200_000))
    with engines.current.unwritable(bench.store.engine):
        with pytest.raises(Unavailable) as refused:
            await bench.take(raw)
        assert refused.value.code == engines.current.unwritable_code
        assert refused.value.retry_after_seconds
        assert await _stored(bench) == 0
    await bench.receive(raw)
    assert len(await bench.events("inbound.received")) == 1


async def test_a_nearly_full_disk_refuses_only_what_is_signed(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)

    def nearly_full() -> None:
        raise Unavailable("nearly full", code="disk_full", retry_after_seconds=5)

    inbox = CallbackInbox(bench.store, bench.clock, nearly_full)
    with pytest.raises(Unavailable):
        await inbox.accept(bench.number.app_id, sign(b"{}"), b"{}")
    with pytest.raises(Forbidden):
        await inbox.accept(bench.number.app_id, "sha256=00", b"{}")


async def test_each_callback_proves_that_the_status_channel_is_alive(tmp_path: Path) -> None:
    bench = await new_bench(tmp_path)
    seen = []
    for number, seconds in enumerate((0, 0.5, 10)):
        bench.clock.advance(seconds)
        await bench.take(b'{"entry": [%d]}' % number)
        seen.append((await bench.row("SELECT last_callback_at FROM apps"))[0])
    # Renewed once a second at most; a repeated callback is a proof like any other.
    assert seen == [1795348800000, 1795348800000, 1795348810500]


@pytest.mark.parametrize(
    ("app_id", "mode", "token"),
    [
        ("app_1", "subscribe", "wrong"),
        ("app_1", "subscribe", ""),
        ("app_1", "unsubscribe", "verify-me"),
        ("app_2", "subscribe", "verify-me"),
        ("app_1", "subscribe", "verify-mé"),
    ],
)
async def test_the_handshake_refuses_what_is_not_the_apps_token(
    tmp_path: Path, app_id: str, mode: str, token: str
) -> None:
    bench = await new_bench(tmp_path)
    with pytest.raises(Forbidden):
        await bench.inbox.verify(app_id, mode, token, "42")
    assert await bench.inbox.verify("app_1", "subscribe", "verify-me", "42") == "42"
