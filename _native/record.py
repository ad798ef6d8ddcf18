"""The record on Kafka: names and order of its headers, flag bits and codes, for who writes and who reads it.

An event is one record of a Kafka record batch (message format v2), bound as CloudEvents 1.0 says for Kafka
in binary mode: the value is the client's JSON text of that one event, attributes stand in `ce_` headers, what
the collector knows beside them in `hr_` headers. They come in the order of HEADERS; those without a value are
left out; a CloudEvent's further attributes and extensions follow as `ce_<name>`.

    header          bytes   meaning
    hr_seq          16      boot id of the worker (8) and number (uint64, big-endian), gapless per boot id
    hr_time         8       receive time, int64 big-endian, microseconds since 1970 UTC
    hr_source       text    name of the source
    hr_dialect      text    name of the dialect
    hr_ack          text    ack level the client was promised: kafka, disk, memory
    hr_flags        4       uint32 big-endian, bits below
    ce_specversion  text    1.0
    ce_id           text    the client's event id, or made (ID_MADE): <boot id in hex>-<number>
    ce_source       text    the CloudEvent's source, else the source's name (a relative URI reference)
    ce_type         text    event type; "event" where there is none (TYPE_MISSING)
    ce_time         text    RFC 3339, UTC, microseconds: the client's time, corrected for skew by sentAt
    content-type    text    media type of the value
    hr_name         text    event name
    hr_user         text    user id, unless it is the record's key (KEY_IS_USER)
    hr_anon         text    anonymous id, unless it is the record's key (KEY_IS_ANON)
    hr_ip           text    client address after the source's privacy rule
    hr_ua           text    user agent
    hr_sent         8       sentAt as the client gave it, int64 big-endian, microseconds
    hr_ctx          text    JSON text of the context that a batch shares
    hr_reason       text    only in headrace.quarantine: reason code, see QUARANTINE_REASONS
    hr_position     4       only in headrace.quarantine: index of the event in its body, int32; -1 all of it

The record's own timestamp is the receive time in milliseconds; with LogAppendTime readers see the broker's.
Source: CloudEvents 1.0.2, Kafka protocol binding 1.0.2 section 3.2; KIP-98 for the batch.
"""

from __future__ import annotations

from enum import IntFlag
from typing import Final

HEADERS: Final[tuple[str, ...]] = (
    "hr_seq",
    "hr_time",
    "hr_source",
    "hr_dialect",
    "hr_ack",
    "hr_flags",
    "ce_specversion",
    "ce_id",
    "ce_source",
    "ce_type",
    "ce_time",
    "content-type",
    "hr_name",
    "hr_user",
    "hr_anon",
    "hr_ip",
    "hr_ua",
    "hr_sent",
    "hr_ctx",
    "hr_reason",
    "hr_position",
)

SPECVERSION: Final = b"1.0"
TYPE_UNKNOWN: Final = b"event"
CONTENT_JSON: Final = b"application/json"
CONTENT_BYTES: Final = b"application/octet-stream"

TOPIC_DEFAULT: Final = "events"
TOPIC_QUARANTINE: Final = "headrace.quarantine"
TOPIC_AUDIT: Final = "headrace.audit"


class Flags(IntFlag):
    """Bits of `hr_flags` and of the column `flags`: the low half is the door's, the high half the sink's."""

    ID_MADE = 1 << 0  # the client sent no id
    TYPE_MISSING = 1 << 1  # the client sent no type; ce_type is TYPE_UNKNOWN
    KEY_IS_USER = 1 << 2  # the record's key is the user id
    KEY_IS_ANON = 1 << 3  # the record's key is the anonymous id; neither bit: the key is the event id
    TIME_CORRECTED = 1 << 4  # ce_time = receive time - (sentAt - client's time)
    TIME_SUSPECT = 1 << 5  # no sentAt, and more than 7 days before or 1 hour after the receive time
    TIME_UNREADABLE = 1 << 6  # the client sent a time that could not be read; ce_time is absent
    FIELD_CUT = 1 << 7  # a lifted value was longer than FIELD_BYTES_MAX and was cut (the payload was not)
    CONVERTED = (
        1 << 8
    )  # the wire form had no JSON text of the event (query string, form): the payload was made
    REPAIRED = 1 << 9  # CESU-8 or lone surrogates were repaired
    REDACTED = 1 << 10  # the source's privacy rule changed the payload
    REPEAT = 1 << 11  # the same id was seen a short while ago by the same worker
    REDRIVEN = 1 << 12  # re-driven from the quarantine
    RETRY = 1 << 13  # the request said that it was a retry
    LATE = 1 << 16  # its hour was sealed when it landed
    PLACED_BY_APPEND = 1 << 17  # placed by append time: the receive time could not be right
    COLUMN_NULLED = 1 << 18  # a promoted column is null because the value had another type


FIELD_BYTES_MAX: Final = 4096  # of a lifted value that becomes a header or a key

QUARANTINE_REASONS: Final[dict[str, str]] = {
    "unreadable_body": "the body is not JSON of this dialect",
    "not_an_object": "an element of the batch is not a JSON object",
    "event_too_large": "the event is larger than event_bytes_max",
    "invalid_event": "the event lacks what its dialect requires",
    "foreign_record": "the record was not written by a collector (no hr_ headers)",
    "corrupt_record": "the record could not be decoded",
    "corrupt_batch": "the record batch could not be decoded (checksum, codec, length)",
    "payload_not_utf8": "the payload says that it is JSON but is not UTF-8",
}
