"""What a partner's fields mean: how a mapping file is read and run.

A mapping is YAML, strict, one file per connector and topic (``mappings/<connector>/<stem>.yaml``), with golden cases beside it
(``<stem>.cases.yaml``). The language and its converters are described in ``mappings/README.md``.
"""

from collections.abc import Mapping as MappingOf
from typing import Any

import msgspec

from gateway.model.customer import Customer
from gateway.model.identity import Assertion
from gateway.model.record import Record


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a mapping may know besides the data. ``options`` are the account's non-secret options as text; ``received_at`` is microseconds."""

    account: str
    zone: str
    unit: str | None = None
    received_at: int
    options: MappingOf[str, str] = {}


class Unknown(msgspec.Struct, frozen=True):
    """A value that a table does not know. It became ``unknown``; ``raw`` is kept on the record too."""

    field: str
    raw: str


class Mapped(msgspec.Struct, frozen=True, kw_only=True):
    """One record that an entry asserts.

    ``record`` is a patch: ``UNSET`` where the source said nothing. ``identities`` say whose it is (for a Customer record: who it is);
    ``customer`` is what the same source asserts about that person. ``source_time`` is microseconds, ``source_version`` any growing
    integer; either may be None. ``kind`` is the record's noun in lower case (``order``, ``customer`` …).
    """

    kind: str
    record: Record
    identities: tuple[Assertion, ...] = ()
    customer: Customer | None = None
    source_time: int | None = None
    source_version: int | None = None
    unknowns: tuple[Unknown, ...] = ()


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled mapping. ``name`` is ``<connector>/<stem>@<version>``."""

    name: str
    run: Any
