"""One message as a support agent reads it: where it stands, its story with times, its tries, what to do."""

from datetime import datetime
from typing import assert_never, get_args

from waypost.cli.api import Wire
from waypost.cli.screen import BAD, STYLES, Screen, clean
from waypost.domain.statuses import Status
from waypost.transports.cloud_api.errors import rule_of

# What a person asks first; the rest of the timeline is told below it.
_MILESTONES = ("accepted", "sent", "delivered", "read", "played")
_CONTENT_SHOWN_MAX = 300


def show_message(screen: Screen, detail: Wire) -> None:
    """Print the answer of `GET /v1/messages/{id}`."""
    message, attempts, timeline = detail["message"], detail["attempts"], detail["timeline"]
    screen.line(f"{message['id']}  {message['status']}", STYLES.get(message["status"], ""))
    screen.line(_chain(message, attempts, timeline))
    screen.line()
    screen.facts(
        {
            "from": message["number_id"], "to": f"{message['to']} ({message['contact_id']})",
            "class": message["class"], "type": message["type"], "content": _content(message),
            "not before": message["not_before"], "goes next at": message["due_at"],
            "expires": message["expires_at"] if message["status"] in ("accepted", "held", "retrying") else None,
            "wanted there by": message["deliver_by"], "if unknown": message["on_unknown"],
            "speaks": message["assignee"], "metadata": message["metadata"] or None,
        }
    )  # fmt: skip
    screen.line()
    _print_timeline(screen, timeline)
    if attempts:
        screen.line()
        _print_attempts(screen, attempts)
    _print_failure(screen, message)
    screen.line()
    screen.line(_meaning(message))


def _moments(message: Wire, attempts: list[Wire], timeline: list[Wire]) -> dict[str, str]:
    """When each milestone was first reached: by our clock where the journal has it, else by Meta's whole seconds."""
    reached = {"accepted": message["accepted_at"]}
    for name in _MILESTONES[1:]:
        times = [line["at"] for line in timeline if line["type"] == f"message.{name}"]
        times = times or [each[f"{name}_at"] for each in attempts if each.get(f"{name}_at")]
        if times:
            reached[name] = min(times)
    status = message["status"]
    if status not in reached and status not in _MILESTONES:
        reached[status] = message["changed_at"]
    return reached


def _chain(message: Wire, attempts: list[Wire], timeline: list[Wire]) -> str:
    reached = _moments(message, attempts, timeline)
    start = _time(reached["accepted"])
    parts = [f"accepted {reached['accepted']}"]
    parts += [f"{name} {_later(start, at)}" for name, at in reached.items() if name != "accepted"]
    return " → ".join(parts)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _later(start: datetime, text: str) -> str:
    seconds = (_time(text) - start).total_seconds()
    if abs(seconds) < 60:
        return f"{seconds:+.2f} s"
    if abs(seconds) < 3_600:
        return f"{seconds / 60:+.1f} min"
    return f"{seconds / 3_600:+.1f} h" if abs(seconds) < 172_800 else f"{seconds / 86_400:+.1f} days"


def _content(message: Wire) -> str:
    content = message["content"]
    if content is None:
        return "erased"
    own = content.get(content.get("type", ""), {})
    if isinstance(own, dict) and isinstance(own.get("body"), str):
        text = own["body"]
    elif message["type"] == "template" and isinstance(own, dict):
        language = own.get("language", {}).get("code", "")
        text = f"template {own.get('name')} ({language})"
    else:
        text = str(own)
    shown = clean(text)
    return shown if len(shown) <= _CONTENT_SHOWN_MAX else shown[:_CONTENT_SHOWN_MAX] + "…"


def _print_timeline(screen: Screen, timeline: list[Wire]) -> None:
    start = _time(timeline[0]["at"]) if timeline else None
    rows = []
    for line in timeline:
        facts = line["facts"]
        known = [f"attempt {facts['ordinal']}"] if "ordinal" in facts else []
        known += (
            [f"{facts['code']} {facts.get('title', '')}".strip()] if facts.get("code") is not None else []
        )
        known += [f"until {facts['until']}"] if facts.get("until") else []
        known += [f"again at {facts['due_at']}"] if facts.get("due_at") else []
        known += [str(line["reason"])] if line["reason"] and str(line["reason"]) not in known else []
        step = line["type"].partition(".")[2]
        later = "" if start is None else _later(start, line["at"])
        rows.append([line["at"], later, step, line["actor"], "; ".join(known)])
    screen.table(("when", "after", "what", "by", "why"), rows)


def _print_attempts(screen: Screen, attempts: list[Wire]) -> None:
    rows = []
    for each in attempts:
        failure = each["failure"] or {}
        told = f"{failure.get('code') or ''} {failure.get('title') or ''}".strip()
        answered = (
            "no answer"
            if each["answered_at"] is None
            else _later(_time(each["started_at"]), each["answered_at"])
        )
        rows.append(
            [
                each["ordinal"],
                each["state"],
                each["started_at"],
                answered,
                each["provider_message_id"],
                told,
                each["id"],
            ]
        )
    screen.table(("attempt", "state", "started", "answered", "Meta's id", "Meta said", "echo"), rows)


def _print_failure(screen: Screen, message: Wire) -> None:
    failure = message["failure"]
    if not failure or message["status"] in ("sent", "delivered", "read", "played"):
        return
    screen.line()
    code = failure.get("code")
    named = f"{code} " if code is not None else ""
    screen.line(
        f"Meta said: {named}{failure.get('title') or ''}. {failure.get('detail') or ''}".rstrip(), BAD
    )
    rule = rule_of(code)
    if rule is not None:
        screen.line(f"What to do: {rule.remedy}")


def _meaning(message: Wire) -> str:
    """Say in a sentence what the status means now."""
    status: Status = message["status"]
    if status not in get_args(Status):
        return f"It is {status}."
    match status:
        case "accepted":
            return "It is on disk and waits for its turn."
        case "held":
            settle = f"waypost stuck settle {message['id']} --action release"
            return f"It is held ({message['reason']}); `{settle}` lets it go."
        case "retrying":
            return f"It goes again at {message['due_at']}."
        case "sending":
            return "An attempt is on the wire."
        case "unknown":
            return (
                "An attempt got no answer: it may or may not have gone out. A receipt settles it, else its policy"
                f" (`{message['on_unknown']}`) does, or you: `waypost stuck settle {message['id']} --action …`."
            )
        case "sent":
            return "Meta took it. The phone has not confirmed it yet: it may be off, or out of reach."
        case "delivered":
            return "It is on the phone. Whether it was read shows only if the person lets it."
        case "read":
            return "The person read it."
        case "played":
            return "The person played it."
        case "failed":
            return "It won't go out. Sending again makes a new message."
        case "expired":
            return "Its time ran out before it could go out."
        case "cancelled":
            return "It was taken back before it went out."
        case "refused":
            return f"A policy refused it ({message['reason']})."
        case "unresolved":
            return "Nobody learnt whether it went out; a late receipt may still correct this."
        case _:
            assert_never(status)
