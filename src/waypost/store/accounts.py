"""What numbers hang on: the portfolio (limits), the app (secret and verify token) and the WABA (templates)."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from waypost.domain.errors import InvalidRequest, NotFound
from waypost.domain.times import to_ms
from waypost.store.transaction import Line, Reading, Transaction

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Account(Struct, frozen=True):
    """Meta's own ids of what a number hangs on."""

    meta_waba_id: str
    meta_app_id: str
    meta_business_id: str


class Belonging(Struct, frozen=True):
    """What a new number hangs on, by Meta's ids. `app_secret` and `verify_token` are needed for a new app."""

    tenant_id: str
    meta_waba_id: str
    meta_business_id: str
    meta_app_id: str
    app_secret: str | None
    verify_token: str | None
    messaging_limit: str | None
    actor: str
    now: datetime

    def __repr__(self) -> str:
        return f"Belonging({self.meta_waba_id})"


def account_of(reading: Reading, tenant_id: str, number_id: str) -> Account:
    """Give Meta's ids of the number's WABA, app and portfolio."""
    row = reading.one(
        "SELECT w.meta_waba_id, a.meta_app_id, p.meta_business_id FROM numbers n"
        " JOIN wabas w ON w.id = n.waba_id JOIN apps a ON a.id = n.app_id"
        " JOIN portfolios p ON p.id = n.portfolio_id WHERE n.id = ? AND n.tenant_id = ?",
        (number_id, tenant_id),
    )
    if row is None:
        raise NotFound("no such number", code="number_not_found")
    return Account(*row)


def verify_token_of(reading: Reading, tenant_id: str, app_id: str) -> str:
    """Give the app's verify token, opened: Meta is told it with an override of the callback address."""
    row = reading.one("SELECT verify_token FROM apps WHERE id = ? AND tenant_id = ?", (app_id, tenant_id))
    if row is None:
        raise NotFound("no such app", code="app_not_found")
    return reading.codec.unseal(f"app:{app_id}:verify_token", row[0]).decode()


def last_callback_at(reading: Reading, tenant_id: str, app_id: str) -> int | None:
    """Give when the app's last callback came, in milliseconds; None before the first one."""
    row = reading.one("SELECT last_callback_at FROM apps WHERE id = ? AND tenant_id = ?", (app_id, tenant_id))
    return None if row is None else row[0]


def portfolio_row(tx: Transaction, item: Belonging) -> str:
    """Give the portfolio's row, made when new; keeps its limit."""
    limit = item.messaging_limit
    known = tx.one(
        "SELECT id FROM portfolios WHERE tenant_id = ? AND meta_business_id = ?",
        (item.tenant_id, item.meta_business_id),
    )
    if known is not None:
        if limit is not None:
            set_portfolio_limit(tx, item.tenant_id, known[0], limit, item.actor, item.now)
        return str(known[0])
    portfolio_id = tx.ids.new("portfolio", item.now)
    tx.execute(
        "INSERT INTO portfolios (id, tenant_id, meta_business_id, messaging_limit, version, created_at)"
        " VALUES (?, ?, ?, ?, 1, ?)",
        (portfolio_id, item.tenant_id, item.meta_business_id, limit, to_ms(item.now)),
    )
    _note(tx, item.tenant_id, "portfolio.added", portfolio_id, 1, item.actor, item.now, {})
    return portfolio_id


def app_row(tx: Transaction, item: Belonging) -> str:
    """Give the app's row, made when new; a secret or verify token that differs takes the place of the old one."""
    known = tx.one(
        "SELECT id, version FROM apps WHERE tenant_id = ? AND meta_app_id = ?",
        (item.tenant_id, item.meta_app_id),
    )
    given = {"secret": item.app_secret, "verify_token": item.verify_token}
    if known is not None:
        app_id, version = str(known[0]), int(known[1])
        opened = {
            name: tx.codec.unseal(f"app:{app_id}:{name}", _app_column(tx, app_id, name)).decode()
            for name, value in given.items()
            if value is not None
        }
        changed = sorted(name for name, value in opened.items() if given[name] != value)
        for name in changed:
            sealed = tx.codec.seal(f"app:{app_id}:{name}", (given[name] or "").encode())
            tx.execute(f"UPDATE apps SET {name} = ? WHERE id = ?", (sealed, app_id))
        if changed:
            tx.announce("access")
            tx.execute("UPDATE apps SET version = version + 1 WHERE id = ?", (app_id,))
            facts = {"changed": changed}
            _note(tx, item.tenant_id, "app.changed", app_id, version + 1, item.actor, item.now, facts)
        return app_id
    for name, value in given.items():
        if not value:
            raise InvalidRequest(
                "this app is not known yet: its secret and a verify token are needed",
                code="app_secret_missing",
                field="app_secret" if name == "secret" else name,
                remedy="give both; the secret stands in Meta's app dashboard under Settings, Basic",
            )
    app_id = tx.ids.new("app", item.now)
    sealed_secret = tx.codec.seal(f"app:{app_id}:secret", (item.app_secret or "").encode())
    sealed_token = tx.codec.seal(f"app:{app_id}:verify_token", (item.verify_token or "").encode())
    tx.execute(
        "INSERT INTO apps (id, tenant_id, meta_app_id, secret, verify_token, version, created_at)"
        " VALUES (?, ?, ?, ?, ?, 1, ?)",
        (app_id, item.tenant_id, item.meta_app_id, sealed_secret, sealed_token, to_ms(item.now)),
    )
    _note(tx, item.tenant_id, "app.added", app_id, 1, item.actor, item.now, {"meta_app_id": item.meta_app_id})
    return app_id


def _app_column(tx: Transaction, app_id: str, name: str) -> bytes:
    row = tx.one(f"SELECT {name} FROM apps WHERE id = ?", (app_id,))
    assert row is not None
    return bytes(row[0])


def waba_row(tx: Transaction, item: Belonging, portfolio_id: str, app_id: str) -> str:
    """Give the WABA's row, made when new."""
    known = tx.one(
        "SELECT id FROM wabas WHERE tenant_id = ? AND meta_waba_id = ?", (item.tenant_id, item.meta_waba_id)
    )
    if known is not None:
        return str(known[0])
    waba_id = tx.ids.new("waba", item.now)
    tx.execute(
        "INSERT INTO wabas (id, tenant_id, portfolio_id, app_id, meta_waba_id, facts, version, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, 1, ?)",
        (waba_id, item.tenant_id, portfolio_id, app_id, item.meta_waba_id, b"{}", to_ms(item.now)),
    )
    facts = {"portfolio_id": portfolio_id, "meta_waba_id": item.meta_waba_id}
    _note(tx, item.tenant_id, "waba.added", waba_id, 1, item.actor, item.now, facts)
    return waba_id


def set_portfolio_limit(
    tx: Transaction, tenant_id: str, portfolio_id: str, limit: str, actor: str, now: datetime
) -> None:
    """Keep the portfolio's messaging limit (Meta moved it there from the numbers on 7 October 2025)."""
    row = tx.one(
        "SELECT messaging_limit, version FROM portfolios WHERE id = ? AND tenant_id = ?",
        (portfolio_id, tenant_id),
    )
    if row is None or row[0] == limit:
        return
    tx.execute(
        "UPDATE portfolios SET messaging_limit = ?, version = version + 1 WHERE id = ?", (limit, portfolio_id)
    )
    facts = {"messaging_limit": limit, "messaging_limit_before": row[0]}
    _note(tx, tenant_id, "portfolio.changed", portfolio_id, int(row[1]) + 1, actor, now, facts)


def change_waba(
    tx: Transaction, tenant_id: str, meta_waba_id: str, facts: dict[str, Any], actor: str, now: datetime
) -> bool:
    """Journal what Meta tells of a WABA and keep it in its row, the latest per field; False when it is not ours."""
    row = tx.one(
        "SELECT id, facts, version FROM wabas WHERE tenant_id = ? AND meta_waba_id = ?",
        (tenant_id, meta_waba_id),
    )
    if row is None:
        return False
    kept = _decode(row[1])
    kept[str(facts.get("field", "waba"))] = {**facts, "at": to_ms(now)}
    tx.execute(
        "UPDATE wabas SET facts = ?, version = version + 1 WHERE id = ?", (msgspec.json.encode(kept), row[0])
    )
    _note(tx, tenant_id, "waba.changed", str(row[0]), int(row[2]) + 1, actor, now, facts)
    return True


def _note(
    tx: Transaction,
    tenant_id: str,
    kind: str,
    aggregate_id: str,
    version: int,
    actor: str,
    now: datetime,
    facts: dict[str, Any],
) -> None:
    tx.journal(Line(tenant_id, kind, aggregate_id, version, actor, now, facts=facts))
