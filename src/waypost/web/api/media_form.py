"""Reading a multipart upload as it streams: one file into a sink, a few short fields beside it; nothing is spooled."""

from collections.abc import AsyncIterator, Callable
from email.message import Message

import python_multipart
from python_multipart.exceptions import FormParserError

from waypost.domain.errors import InvalidRequest, Malformed

_FIELD_BYTES_MAX = 1_024
_FIELDS_MAX = 10
_FIELDS = frozenset({"number_id", "type", "file", "messaging_product"})


class MediaForm:
    """The fields read so far; `file` goes to the sink. Give it chunks, then call `finish`."""

    def __init__(self, content_type: str, sink: Callable[[bytes], None]) -> None:
        header = Message()
        header["content-type"] = content_type
        boundary = header.get_boundary()
        if not boundary or len(boundary) > 200:
            raise Malformed("The form has no boundary.", remedy="Let your HTTP library make the header.")
        self._sink = sink
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self.file_type: str | None = None
        self.has_file = False
        self._headers: dict[str, bytes] = {}
        self._header_name = self._value = b""
        self._part = ""
        self._is_done = False
        self._parser = python_multipart.MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_header_name,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header,
                "on_headers_finished": self._on_headers,
                "on_part_data": self._on_content,
                "on_part_end": self._end,
                "on_end": self._done,
            },
        )

    async def read(self, chunks: AsyncIterator[bytes]) -> None:
        """Read the whole form; raises `Malformed` or `InvalidRequest`, or what the sink raises."""
        try:
            async for chunk in chunks:
                if chunk:
                    self._parser.write(chunk)
            self._parser.finalize()
        except FormParserError:
            raise Malformed("The form could not be read.", remedy="Send multipart/form-data.") from None
        if not self._is_done:
            raise Malformed("The form breaks off.", remedy="Send it whole.")
        if not self.has_file:
            raise InvalidRequest("The file is missing.", field="file", remedy="Add a part named `file`.")

    def _begin(self) -> None:
        self._headers, self._header_name, self._value, self._part = {}, b"", b"", ""

    def _on_header_name(self, raw: bytes, start: int, end: int) -> None:
        self._header_name += raw[start:end]

    def _on_header_value(self, raw: bytes, start: int, end: int) -> None:
        self._value += raw[start:end]

    def _on_header(self) -> None:
        self._headers[self._header_name.decode("latin-1").lower()] = self._value
        self._header_name = self._value = b""

    def _on_headers(self) -> None:
        header = Message()
        header["content-disposition"] = self._headers.get("content-disposition", b"").decode(
            "utf-8", "replace"
        )
        name = str(header.get_param("name", "", header="content-disposition"))
        if name not in _FIELDS or name in self.fields or len(self.fields) >= _FIELDS_MAX:
            raise InvalidRequest("This field is not known here, or came twice.", field=name[:100] or None)
        if name == "file":
            if self.has_file:
                raise InvalidRequest("One file at a time.", field="file")
            self.has_file = True
            self.filename = header.get_filename()
            self.file_type = self._headers.get("content-type", b"").decode("latin-1") or None
        self._part, self._value = name, b""

    def _on_content(self, raw: bytes, start: int, end: int) -> None:
        if self._part == "file":
            self._sink(raw[start:end])
            return
        self._value += raw[start:end]
        if len(self._value) > _FIELD_BYTES_MAX:
            raise InvalidRequest("This field is too long.", field=self._part)

    def _end(self) -> None:
        if self._part != "file":
            self.fields[self._part] = self._value.decode("utf-8", "replace").strip()
        self._value = b""

    def _done(self) -> None:
        self._is_done = True
