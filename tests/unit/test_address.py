"""Which addresses a webhook may go to."""

import asyncio
import ipaddress
import socket
import threading
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyreqwest.http import Url

from gateway.clock import SystemClock, TurnedClock
from gateway.destinations.address import Place, Unfit, Vetted, Vetter, place_of, special
from gateway.errors import ConfigError

SPECIAL = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.8.8.8", "169.254.169.254", "172.16.0.1",
    "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255", "100.100.100.200",
    "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:a00:1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::", "2001:0:7f00:1::",
    "192.88.99.1", "2001:10::1", "2001:20::1", "3fff::1", "4000::1", "5f00::1", "::ffff:0:127.0.0.1", "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:7f00:1", "2001:0:8.8.8.8:0:0:f5ff:fffe".replace("8.8.8.8", "808:808"), "::ffff:100.100.100.200", "64:ff9b::6464:64c8",
    "2001:db8::1", "fc00::1", "fd12:3456::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "100::1",
]  # fmt: skip
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "223.5.5.5",
    "2400:3200::1",
    "2606:4700::1111",
]


@pytest.mark.parametrize("address", SPECIAL)
def test_private_and_special_addresses_are_told_in_every_dress(address: str) -> None:
    """Loopback, private, CGNAT, link-local, metadata, documentation, multicast; mapped, compatible, 6to4, NAT64, Teredo."""
    assert special(address)


@pytest.mark.parametrize("address", [*PUBLIC, "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"])
def test_public_addresses_may_be_posted_to(address: str) -> None:
    """Also through a translation that leads to a public one."""
    assert not special(address)


def vet(url: str, *, private: bool = False, vetter: Vetter | None = None) -> Vetted | Unfit:
    """Once, with the system's own resolver."""
    return asyncio.run((vetter or Vetter(TurnedClock())).vet(url, allow_private=private))


# As written → what reaches nobody it should not. Each is one of the ways in which guards of others were passed by.
DISGUISES = [
    "2130706433", "0x7f000001", "017700000001", "0177.0.0.1", "0x7f.0x0.0x0.0x1", "127.1", "127.0.1", "0", "0x0", "00000177.1", "127.0.0.1.",
    "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "169.16689662", "0xa9.254.0251.254", "1684301000", "0x64646464c8",
    "１２７.0.0.1", "①②⑦.⓪.⓪.①", "⑯⑨。②⑤④。⑯⑨｡②⑤④", "127。0。0。1", "127．0．0．1", "ｌｏｃａｌｈｏｓｔ", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "loc\u00adalhost",
    "%31%32%37.0.0.1", "127.0.0.%31", "%6c%6f%63%61%6c%68%6f%73%74", "localhost%00.example", "127.0.0.1%2f.example", "127.0.0.1%00",
    "[::ffff:127.0.0.1%25lo]", "[fe80::1%25eth0]", "[fe80::1%eth0]", "[::1", "::1", "[127.0.0.1]", "[::ffff:256.0.0.1]", "[v1.a]",
    "user@127.0.0.1", "crm.example@127.0.0.1", "crm.example:80@127.0.0.1", "127.0.0.1@crm.example", "a:b@crm.example",
    "crm.example\\@127.0.0.1", "127.0.0.1\\@crm.example", "127.0.0.1:80\\@crm.example", "crm.example\\.127.0.0.1",
    "127.0.0.1 .example", "crm.example\t", "127.0.0.1\n", "crm.example\r\nhost: x", " 127.0.0.1", "crm.example\x00",
    "crm.example:0", "crm.example:65536", "crm.example:99999", "crm.example:8 0", "crm.example:+80", "crm.example:８０", "crm.example:80:90",
    "bücher.example", "faß.example", "xn--", "xn--zz--", "256.1.1.1", "1.2.3.4.5", "1.2.3.08", "crm.example.1", "crm.0x7f", "",
]  # fmt: skip
# Plainly written, and yet none of ours to give away: judged by what they resolve to.
PLAIN = [
    "127.0.0.1", "127.0.0.1:8080", "10.0.0.8", "192.168.1.1", "172.31.255.255", "0.0.0.0", "169.254.169.254", "169.254.170.2",
    "100.100.100.200", "100.64.0.1", "255.255.255.255", "224.0.0.251", "localhost", "LOCALHOST", "LocalHost", "localhost:80", "[::1]", "[::]",
    "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]", "[::127.0.0.1]", "[::ffff:127.0.0.1]", "[::FFFF:7F00:1]",
    "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "[FD00:EC2::254]", "[fe80::1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::1]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]", "[2001:0:0:0:0:0:80ff:fffe]", "[2606:4700::5efe:127.0.0.1]", "[ff02::1]",
]  # fmt: skip


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("written", DISGUISES)
def test_a_host_that_readers_could_understand_differently_is_refused(scheme: str, written: str) -> None:
    """Whatever it would have resolved to, also where private addresses are allowed: what was vetted must be what is connected to."""
    url = f"{scheme}://{written}/hooks"
    with pytest.raises(ConfigError):
        place_of(url)
    answer = vet(url, private=True)
    assert isinstance(answer, Unfit), answer
    assert (answer.error, answer.ours) == ("address", False)


@pytest.mark.parametrize("written", PLAIN)
def test_a_plain_host_is_judged_by_what_it_resolves_to(written: str) -> None:
    """Loopback, private networks, link-local, the metadata services of clouds, and all of them inside IPv6."""
    answer = vet(f"http://{written}/latest/meta-data/")
    assert isinstance(answer, Unfit), answer
    assert (answer.error, answer.ours) == ("address", False)


@pytest.mark.parametrize(
    "url",
    [
        "crm.example/hooks", "//crm.example/hooks", "http:crm.example", "http:/crm.example", "http:///crm.example", "https:\\\\crm.example",
        "javascript:alert(1)", "file:///etc/passwd", "http://", "http://?x", "http://#x", "http://crm.example/a b", "",
    ],
)  # fmt: skip
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    """Some clients would mend it, each in its own way."""
    with pytest.raises(ConfigError):
        place_of(url)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://crm.example/hooks?a=@127.0.0.1#@x", Place("http", "crm.example", 80)),
        ("HTTPS://CRM.Example:8443/钩子", Place("https", "crm.example", 8443)),
        ("https://crm.example.", Place("https", "crm.example.", 443)),
        ("https://xn--bcher-kva.example/", Place("https", "xn--bcher-kva.example", 443)),
        ("https://my_host-1.crm.example/", Place("https", "my_host-1.crm.example", 443)),
        ("https://[2606:4700::1111]:444/", Place("https", "2606:4700::1111", 444)),
        ("https://8.8.8.8/", Place("https", "8.8.8.8", 443)),
        ("redis://cache-1:6379/0/stream", Place("redis", "cache-1", 6379)),
        ("kafka://broker0/topic", Place("kafka", "broker0", 9092)),
    ],
)
def test_a_plain_url_means_one_place(url: str, place: Place) -> None:
    """Letters in lower case, and the port that the scheme has by itself."""
    assert place_of(url) == place


@given(st.text("ax0127.:@%[]\\\\/#?-_", min_size=1, max_size=20).map("http://{}".format))
def test_what_is_accepted_is_read_alike_by_the_client(url: str) -> None:
    """No URL at all is understood as one host by us and as another by the client that posts, or by the standard library."""
    try:
        place = place_of(url)
    except ConfigError:
        return
    theirs, ours = Url(url), urlsplit(url)
    assert same((theirs.host_str or "").strip("[]"), place.host)
    assert theirs.port_or_known_default == place.port
    assert ours.hostname == place.host
    assert (ours.username, ours.password, theirs.username) == (None, None, "")


def same(one: str, other: str) -> bool:
    """Whether two hosts are one, however long an IPv6 address is written."""
    return one == other or (":" in one and ipaddress.ip_address(one) == ipaddress.ip_address(other))


def test_loopback_is_fit_where_that_is_meant() -> None:
    """And the vetted address is the one to connect to."""
    assert vet("http://127.0.0.1:8001/hooks", private=True) == Vetted("127.0.0.1", 8001, "127.0.0.1")
    assert vet("https://127.0.0.1/hooks", private=True) == Vetted("127.0.0.1", 443, "127.0.0.1")


def test_a_name_that_is_none_is_unfit() -> None:
    """With a word for it that is not the address's."""
    answer = vet("http://nowhere.invalid/hooks")
    assert isinstance(answer, Unfit)
    assert answer.error == "dns"
    assert isinstance(vet(f"http://{'a' * 300}.example/"), Unfit)


def resolving(monkeypatch: pytest.MonkeyPatch, answers: list[list[str]]) -> None:
    """Scripted DNS: one list of addresses per question."""

    def look(_host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look)


def test_one_private_answer_among_public_ones_makes_a_name_unfit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the second answer would slip through."""
    resolving(monkeypatch, [["8.8.8.8", "10.0.0.1"]])
    answer = vet("https://crm.example/hooks")
    assert isinstance(answer, Unfit)
    assert answer.error == "address"
    assert "10.0.0.1" not in answer.detail


def test_a_name_that_turns_private_is_unfit_from_the_next_look_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is remembered for half a minute, and what is connected to is what was vetted."""
    resolving(monkeypatch, [["8.8.8.8"], ["127.0.0.1"]])
    clock = TurnedClock()
    vetter = Vetter(clock)
    assert vet("https://crm.example/hooks", vetter=vetter) == Vetted("crm.example", 443, "8.8.8.8")
    clock.turn(29)
    assert vet("https://crm.example/hooks", vetter=vetter) == Vetted("crm.example", 443, "8.8.8.8")
    clock.turn(2)
    assert isinstance(vet("https://crm.example/hooks", vetter=vetter), Unfit)


@pytest.mark.parametrize(
    ("fault", "ours"),
    [
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), True),
        (socket.gaierror(socket.EAI_SYSTEM, "System error"), True),
        (socket.gaierror(socket.EAI_MEMORY, "Memory allocation failure"), True),
        (OSError(24, "Too many open files"), True),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), False),
        (socket.gaierror(socket.EAI_NODATA, "No address associated with hostname"), False),
        (socket.gaierror(socket.EAI_FAIL, "Non-recoverable failure in name resolution"), False),
        (UnicodeError("label too long"), False),
    ],
    ids=lambda value: str(value),
)
def test_a_resolver_that_fails_is_our_fault_and_a_name_that_is_none_is_not(
    monkeypatch: pytest.MonkeyPatch, fault: Exception, ours: bool
) -> None:
    """The first costs an endpoint nothing, and is asked again within a second or so; the second is remembered like an answer."""
    asked = []

    def look(*_: Any, **__: Any) -> list[Any]:
        asked.append(1)
        raise fault

    monkeypatch.setattr(socket, "getaddrinfo", look)
    clock = TurnedClock()
    vetter = Vetter(clock)
    answer = vet("https://crm.example/hooks", vetter=vetter)
    assert isinstance(answer, Unfit)
    assert (answer.error, answer.ours) == ("dns", ours)
    clock.turn(2)
    _ = vet("https://crm.example/hooks", vetter=vetter)
    assert len(asked) == (2 if ours else 1)


def test_a_name_that_fails_while_others_are_resolved_is_itself_at_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its servers are gone for good: from the second time on it is the endpoint's failure, until it is resolved once. What this machine's own
    table knows, and addresses, are no sign that there is a resolver."""
    down = {"gone.example"}

    def look(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        if host in down:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look)
    clock = TurnedClock()
    vetter = Vetter(clock)

    def ours(host: str = "gone.example") -> bool | None:
        clock.turn(60)
        answer = vet(f"https://{host}/", vetter=vetter)
        return answer.ours if isinstance(answer, Unfit) else None

    assert [ours(), ours(), ours("crm"), ours("8.8.4.4"), ours()] == [True, True, None, None, True]
    assert [ours("crm.example"), ours()] == [None, False]
    assert [ours("crm.example"), ours()] == [None, False]
    down.add("crm.example")
    assert [ours(), ours("crm.example"), ours("crm.example")] == [True, True, True]
    down.clear()
    assert [ours(), ours("crm.example")] == [None, None]
    down.add("gone.example")
    assert ours() is True


def test_a_resolver_that_says_nothing_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the time that there is, as a fault of ours."""
    gate = threading.Event()

    def look(*_: Any, **__: Any) -> list[Any]:
        gate.wait(5)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", look)

    async def run() -> Vetted | Unfit:
        try:
            return await Vetter(SystemClock()).vet_host("crm.example", 443, allow_private=False, within=0.1)
        finally:
            gate.set()

    answer = asyncio.run(run())
    assert isinstance(answer, Unfit)
    assert (answer.error, answer.ours) == ("dns", True)


def test_many_who_ask_at_once_share_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand deliveries that become due after a pause must not be a thousand look-ups."""
    asked = []

    def look(_host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(1)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look)

    async def run() -> None:
        vetter = Vetter(SystemClock())
        answers = await asyncio.gather(*(vetter.vet("https://crm.example/", allow_private=False) for _ in range(50)))
        assert set(answers) == {Vetted("crm.example", 443, "8.8.8.8")}

    asyncio.run(run())
    assert len(asked) == 1
