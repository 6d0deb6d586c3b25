"""What an account of this connector may set."""

from typing import Annotated, ClassVar, Literal

from gateway import connector
from gateway.connector import Meta, Secret

_MIB = 1 << 20


class HL7Options(connector.Options, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One interface of one hospital: one listening address."""

    __title__: ClassVar[str] = "医院接口(HL7 v2)/ Hospital interface (HL7 v2)"

    listen: Annotated[str, Meta(description="Where MLLP is spoken: host:port, or [address]:port for IPv6.")]
    tls_cert: Annotated[
        str | None, Meta(description="The certificate chain as a PEM file; with tls_key, MLLP is spoken over TLS.")
    ] = None
    tls_key: Annotated[Secret | None, Meta(description="The certificate's private key in PEM.")] = None
    peers: Annotated[
        tuple[str, ...], Meta(description="Addresses and networks (10.1.0.0/16) that may connect; empty lets anybody.")
    ] = ()
    max_frame: Annotated[
        int, Meta(description="The largest message in bytes; a larger one is answered AR and not kept.", ge=1024)
    ] = 8 * _MIB
    encoding: Annotated[
        tuple[str, ...],
        Meta(
            description="Character sets tried in order when MSH-18 is empty, unknown or ASCII, by HL7's or everyday names."
        ),
    ] = ("UNICODE UTF-8", "GB18030")
    ignore_msh18: Annotated[
        bool, Meta(description="Read every message by encoding alone, for a sender whose MSH-18 is wrong.")
    ] = False
    lenient: Annotated[
        bool,
        Meta(
            description="Take LF for CR where a message has no CR at all, or every LF stands before a segment; off, an LF is always data."
        ),
    ] = True
    authority: Annotated[
        str,
        Meta(
            description="The assigning authority meant by patient identifiers that name none; the sending facility (MSH-4) when empty."
        ),
    ] = ""
    ack: Annotated[
        Literal["original", "enhanced", "auto"],
        Meta(
            description="original: one AA, AE or AR; auto: as MSH-15 and MSH-16 ask; enhanced: as auto, and CA, CE or CR where they are empty."
        ),
    ] = "original"
    unmapped: Annotated[
        Literal["keep", "refuse"],
        Meta(
            description="What becomes of a message that no mapping reads: acknowledged and kept unread, or answered AR 200 or 201."
        ),
    ] = "keep"
