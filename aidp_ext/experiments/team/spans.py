"""The ids of the traces in a message of OpenTelemetry's: as much of protobuf as that takes."""

from __future__ import annotations

from collections.abc import Iterator

from aidp_ext.core.errors import InvalidRequest

# ExportTraceServiceRequest.resource_spans = 1, ResourceSpans.scope_spans = 2, ScopeSpans.spans = 2, Span.trace_id = 1
_WAY = (1, 2, 2)
_TRACE_ID = 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10
_LENGTH = 16  # bytes of a trace's id


def traces_of(message: bytes) -> set[str]:
    """Return the ids of all traces as MLflow names them. Raises InvalidRequest where the message is none."""
    try:
        found = [message]
        for number in _WAY:
            found = [inner for outer in found for of, inner in _fields(outer) if of == number]
        # The last of a field that is there twice is the one that counts.
        ids = {dict(_fields(span)).get(_TRACE_ID, b"") for span in found}
        if any(len(id_) != _LENGTH for id_ in ids):
            raise ValueError("a trace's id")
        return {f"tr-{id_.hex()}" for id_ in ids}
    except (IndexError, ValueError) as error:
        raise InvalidRequest("These are no spans of OpenTelemetry's.") from error


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the fields of a message that have a length, with their numbers. Raises IndexError or ValueError."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if not 0 < number < 2**29:
            raise ValueError(number)
        if kind == _BYTES:
            size, at = _varint(message, at)
            if at + size > len(message):
                raise ValueError(size)
            yield number, message[at : at + size]
            at += size
        elif kind == _VARINT:
            _, at = _varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:  # groups, which nobody uses any more
            raise ValueError(kind)


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_LONGEST_VARINT):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at
    raise ValueError(value)
