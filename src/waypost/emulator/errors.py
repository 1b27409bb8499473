"""The Graph error envelope, as an exception that carries its HTTP status, and its webhook form."""

from typing import Any

from waypost.emulator.tables import error_row

Wire = dict[str, Any]

ERROR_PAGE = "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/"


class GraphError(Exception):
    """A refusal in Meta's words: code, details, and what the HTTP answer looks like."""

    def __init__(
        self,
        code: int,
        details: str = "",
        *,
        subcode: int | None = None,
        http_status: int | None = None,
        kind: str = "OAuthException",
        message: str | None = None,
        headers: dict[str, str] | None = None,
        extra: Wire | None = None,
    ) -> None:
        row = error_row(code)
        super().__init__(f"graph error {code}")
        self.code = code
        self.details = details
        self.subcode = subcode
        self.http_status = http_status or row["http_status"]
        self.kind = kind
        self.message = message or f"(#{code}) {row['title']}"
        self.transient = row["transient"]
        self.headers = headers or {}
        self.extra = extra or {}

    def envelope(self, trace_id: str) -> Wire:
        """The body of the HTTP answer."""
        error: Wire = {"message": self.message, "type": self.kind, "code": self.code}
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        if self.details:
            error["error_data"] = {"messaging_product": "whatsapp", "details": self.details}
        if self.transient:
            error["is_transient"] = True
        error["fbtrace_id"] = trace_id
        return {**self.extra, "error": error}


def unknown_object(node: str, method: str) -> GraphError:
    """What Graph says of an object that is absent or not yours: 100 with subcode 33."""
    return GraphError(
        100,
        subcode=33,
        kind="GraphMethodException",
        message=f"Unsupported {method.lower()} request. Object with ID '{node}' does not exist, cannot be "
        "loaded due to missing permissions, or does not support this operation",
    )


def webhook_error(code: int, details: str = "") -> Wire:
    """The error object of a failed status or of an inbound placeholder."""
    title = error_row(code)["title"]
    return {
        "code": code,
        "title": title,
        "message": title,
        "error_data": {"details": details or f"Failed with code {code}."},
        "href": ERROR_PAGE,
    }
