"""Templates as Meta has them: synchronised, told of in callbacks, created and deleted through us."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from waypost.domain.errors import NotFound
from waypost.domain.times import to_ms
from waypost.store.engine import single
from waypost.store.transaction import Line, Reading, Transaction

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(list[dict[str, Any]]).decode


class Template(Struct, frozen=True):
    """A template in one language as stored; `components` is Meta's definition as JSON. Times in milliseconds."""

    id: str
    tenant_id: str
    waba_id: str
    meta_template_id: str
    name: str
    language: str
    category: str
    status: str
    quality: str | None
    parameter_format: str
    components: bytes
    reason: str | None
    synced_at: int
    removed_at: int | None
    version: int

    def parts(self) -> list[dict[str, Any]]:
        """Give the components decoded."""
        return _decode(self.components)


_COLUMNS = ", ".join(Template.__struct_fields__)


class Seen(Struct, frozen=True):
    """A template as Meta tells it."""

    meta_template_id: str
    name: str
    language: str
    category: str
    status: str
    quality: str | None
    parameter_format: str
    components: Sequence[Mapping[str, Any]]
    reason: str | None


class Synchronise(Struct, frozen=True):
    """The whole list of a WABA's templates as it was at `listed_at`."""

    tenant_id: str
    waba_id: str
    seen: Sequence[Seen]
    listed_at: datetime
    actor: str
    now: datetime


class Synchronised(Struct, frozen=True):
    """How many are there, and how many of them are new, changed or gone."""

    count: int
    changed: int
    removed: int


class Create(Struct, frozen=True):
    """A template that Meta has just taken."""

    tenant_id: str
    waba_id: str
    seen: Seen
    actor: str
    now: datetime


class Delete(Struct, frozen=True):
    """Templates that Meta has just deleted: all languages of a name, or the one of `template_id`."""

    tenant_id: str
    waba_id: str
    name: str
    template_id: str | None
    actor: str
    now: datetime


def get(reading: Reading, tenant_id: str, template_id: str) -> Template:
    """Give a template by our id; `NotFound` when it is not this tenant's, or gone."""
    row = reading.one(
        f"SELECT {_COLUMNS} FROM templates WHERE id = ? AND tenant_id = ? AND removed_at IS NULL",
        (template_id, tenant_id),
    )
    if row is None:
        raise NotFound("no such template", code="template_not_found")
    return Template(*row)


def find(reading: Reading, tenant_id: str, waba_id: str, name: str, language: str) -> Template | None:
    """Give a live template of a WABA by name and language."""
    row = reading.one(
        f"SELECT {_COLUMNS} FROM templates WHERE tenant_id = ? AND waba_id = ? AND name = ? AND language = ?"
        " AND removed_at IS NULL",
        (tenant_id, waba_id, name, language),
    )
    return None if row is None else Template(*row)


def languages_of(reading: Reading, tenant_id: str, waba_id: str, name: str) -> list[str]:
    """Give the languages a template exists in."""
    sql = (
        "SELECT language FROM templates WHERE tenant_id = ? AND waba_id = ? AND name = ? AND removed_at IS NULL"
        " ORDER BY language"
    )
    return [row[0] for row in reading.rows(sql, (tenant_id, waba_id, name))]


def is_synced(reading: Reading, tenant_id: str, waba_id: str) -> bool:
    """Say whether the list of the WABA's templates is known: False before the first reading, and while Meta has told
    of a template not seen yet."""
    row = reading.one(
        "SELECT templates_synced_at FROM wabas WHERE id = ? AND tenant_id = ?", (waba_id, tenant_id)
    )
    return row is not None and row[0] is not None


def page(
    reading: Reading, tenant_id: str, waba_id: str | None, after: str | None, limit: int
) -> list[Template]:
    """Give live templates behind the id `after`, of one WABA or of all."""
    where, parameters = "", [tenant_id, after or ""]
    if waba_id is not None:
        where = " AND waba_id = ?"
        parameters.append(waba_id)
    sql = (
        f"SELECT {_COLUMNS} FROM templates WHERE tenant_id = ? AND id > ?{where} AND removed_at IS NULL"
        " ORDER BY id LIMIT ?"
    )
    return [Template(*row) for row in reading.rows(sql, (*parameters, limit))]


class WabaDue(Struct, frozen=True):
    """A WABA whose templates should be read, and a number whose token can read them."""

    tenant_id: str
    waba_id: str
    meta_waba_id: str
    number_id: str


def due_wabas(reading: Reading, before: datetime, limit: int) -> list[WabaDue]:
    """Give WABAs whose templates were not read since `before`, and which have a live number to read with."""
    sql = (
        "SELECT w.tenant_id, w.id, w.meta_waba_id, min(n.id) FROM wabas w JOIN numbers n ON n.waba_id = w.id"
        " WHERE n.kind = 'cloud' AND n.state <> 'removed'"
        " AND (w.templates_synced_at IS NULL OR w.templates_synced_at <= ?)"
        " GROUP BY w.tenant_id, w.id, w.meta_waba_id, w.templates_synced_at ORDER BY w.templates_synced_at LIMIT ?"
    )
    return [WabaDue(*row) for row in reading.rows(sql, (to_ms(before), limit))]


def waba_of(reading: Reading, tenant_id: str, waba_id: str) -> WabaDue:
    """Give a WABA, by our id or Meta's, with a number to speak through; `NotFound` without either."""
    row = reading.one(
        "SELECT w.tenant_id, w.id, w.meta_waba_id, n.id FROM wabas w JOIN numbers n ON n.waba_id = w.id"
        " WHERE w.tenant_id = ? AND (w.id = ? OR w.meta_waba_id = ?) AND n.kind = 'cloud' AND n.state <> 'removed'"
        " ORDER BY n.id LIMIT 1",
        (tenant_id, waba_id, waba_id),
    )
    if row is None:
        raise NotFound("no such WABA with a number", code="waba_not_found", field="waba_id")
    return WabaDue(*row)


def keep_list(tx: Transaction, item: Synchronise) -> Synchronised:
    """Make the rows of a WABA what Meta listed; only what differs is written and journalled.

    A list that was asked for before the one that was last kept (its reader was paused) is let go.
    """
    kept = tx.one(
        "SELECT templates_synced_at FROM wabas WHERE id = ? AND tenant_id = ?", (item.waba_id, item.tenant_id)
    )
    if kept is not None and kept[0] is not None and kept[0] > to_ms(item.listed_at):
        return Synchronised(len(item.seen), 0, 0)
    rows = tx.rows(
        f"SELECT {_COLUMNS} FROM templates WHERE tenant_id = ? AND waba_id = ? AND removed_at IS NULL",
        (item.tenant_id, item.waba_id),
    )
    known = {(row[4], row[5]): Template(*row) for row in rows}
    changed = removed = 0
    for seen in item.seen:
        row = known.pop((seen.name, seen.language), None)
        if row is not None and row.meta_template_id != seen.meta_template_id:
            # Deleted and made again at Meta under the same name: another template with another review.
            _remove(tx, row, item.actor, item.now)
            row = None
        changed += _keep(tx, item.tenant_id, item.waba_id, row, seen, item.actor, item.now)
    for row in known.values():
        # One that was created through us while Meta's pages were being read is not gone.
        if row.synced_at < to_ms(item.listed_at):
            _remove(tx, row, item.actor, item.now)
            removed += 1
    tx.execute(
        "UPDATE wabas SET templates_synced_at = ? WHERE id = ? AND tenant_id = ?",
        (to_ms(item.listed_at), item.waba_id, item.tenant_id),
    )
    return Synchronised(len(item.seen), changed, removed)


def keep_created(tx: Transaction, item: Create) -> Template:
    """Keep a template that Meta has just taken; replaces what stood under its name and language."""
    row = find(tx, item.tenant_id, item.waba_id, item.seen.name, item.seen.language)
    if row is not None and row.meta_template_id != item.seen.meta_template_id:
        _remove(tx, row, item.actor, item.now)
        row = None
    _keep(tx, item.tenant_id, item.waba_id, row, item.seen, item.actor, item.now)
    made = find(tx, item.tenant_id, item.waba_id, item.seen.name, item.seen.language)
    assert made is not None
    return made


def forget_deleted(tx: Transaction, item: Delete) -> list[str]:
    """Take away what Meta has deleted; gives the ids."""
    sql = f"SELECT {_COLUMNS} FROM templates WHERE tenant_id = ? AND waba_id = ? AND name = ? AND removed_at IS NULL"
    gone = [Template(*row) for row in tx.rows(sql, (item.tenant_id, item.waba_id, item.name))]
    gone = [row for row in gone if item.template_id in (None, row.id)]
    for row in gone:
        _remove(tx, row, item.actor, item.now)
    return [row.id for row in gone]


FIELDS = frozenset(
    {
        "message_template_status_update",
        "message_template_quality_update",
        "message_template_components_update",
        "template_category_update",
    }
)


def apply_change(
    tx: Transaction, tenant_id: str, meta_waba_id: str, field: str, value: Mapping[str, Any], now: datetime
) -> bool:
    """Apply one `change` of a callback about a template; False when it is none, or not of a WABA of ours.

    A template not known yet, or components that changed, make the WABA due for a synchronisation at once: Meta tells
    the new components in a shape of its own that is not the definition.
    """
    if field not in FIELDS:
        return False
    waba = tx.one("SELECT id FROM wabas WHERE tenant_id = ? AND meta_waba_id = ?", (tenant_id, meta_waba_id))
    if waba is None:
        return False
    row = tx.one(
        f"SELECT {_COLUMNS} FROM templates WHERE tenant_id = ? AND waba_id = ? AND removed_at IS NULL"
        " AND (meta_template_id = ? OR (name = ? AND language = ?)) ORDER BY (meta_template_id = ?) DESC LIMIT 1",
        (
            tenant_id, waba[0], str(value.get("message_template_id")), value.get("message_template_name"),
            value.get("message_template_language"), str(value.get("message_template_id")),
        ),
    )  # fmt: skip
    if row is None or field == "message_template_components_update":
        tx.execute("UPDATE wabas SET templates_synced_at = NULL WHERE id = ?", (waba[0],))
    if row is None:
        return True
    template = Template(*row)
    changes, facts = _told(field, value)
    changes = {name: told for name, told in changes.items() if told != getattr(template, name)}
    if changes or facts:
        _change(tx, template, changes, "template.changed", "meta", now, {**changes, **facts})
    return True


def _told(field: str, value: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a callback's value: columns that change, and what is only worth telling."""
    # Meta's own sample labels a quality update as a status update, so the content decides.
    if value.get("new_quality_score") is not None:
        return {"quality": _word(value["new_quality_score"])}, {}
    if field == "template_category_update":
        if value.get("new_category") is None:
            return {}, {"category_to_come": _word(value.get("correct_category"))}
        return {"category": _word(value["new_category"])}, {}
    if field == "message_template_components_update":
        return {}, {"components_changed": True}
    event = _word(value.get("event"))
    if event is None:
        return {}, {}
    reason = _word(value.get("reason"))
    changes: dict[str, Any] = {
        "status": "APPROVED" if event == "REINSTATED" else event,
        "reason": None if reason in (None, "NONE", "") else reason,
    }
    category = _word(value.get("message_template_category"))
    if category is not None:
        changes["category"] = category
    return changes, {}


def _keep(
    tx: Transaction, tenant_id: str, waba_id: str, row: Template | None, seen: Seen, actor: str, now: datetime
) -> bool:
    """Write a template unless it is the same; tells whether it was written."""
    values = {
        "meta_template_id": seen.meta_template_id,
        "category": seen.category,
        "status": seen.status,
        "quality": seen.quality,
        "parameter_format": seen.parameter_format,
        "components": _encode(seen.components),
        "reason": seen.reason,
    }
    if row is None:
        template_id = tx.ids.new("template", now)
        tx.execute(
            "INSERT INTO templates (id, tenant_id, waba_id, name, language, meta_template_id, category, status,"
            " quality, parameter_format, components, reason, synced_at, version)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
            (template_id, tenant_id, waba_id, seen.name, seen.language, *values.values(), to_ms(now)),
        )
        facts = {
            "name": seen.name,
            "language": seen.language,
            "status": seen.status,
            "category": seen.category,
        }
        tx.journal(Line(tenant_id, "template.synchronised", template_id, 1, actor, now, facts=facts))
        return True
    changes = {name: value for name, value in values.items() if value != getattr(row, name)}
    if not changes:
        return False
    told: dict[str, Any] = {name: value for name, value in changes.items() if name != "components"}
    if "components" in changes:
        told["components_changed"] = True
    _change(tx, row, {**changes, "synced_at": to_ms(now)}, "template.synchronised", actor, now, told)
    return True


def _remove(tx: Transaction, row: Template, actor: str, now: datetime) -> None:
    facts = {"name": row.name, "language": row.language}
    _change(tx, row, {"removed_at": to_ms(now)}, "template.removed", actor, now, facts)


def _change(
    tx: Transaction,
    row: Template,
    changes: dict[str, Any],
    kind: str,
    actor: str,
    now: datetime,
    facts: dict[str, Any],
) -> None:
    sets = "".join(f"{name} = ?, " for name in changes)
    tx.execute(f"UPDATE templates SET {sets}version = version + 1 WHERE id = ?", (*changes.values(), row.id))
    tx.journal(Line(row.tenant_id, kind, row.id, row.version + 1, actor, now, facts=facts))


def _word(told: object) -> str | None:
    return told[:100] if isinstance(told, str) else None


synchronise = single(keep_list)
created = single(keep_created)
deleted = single(forget_deleted)
