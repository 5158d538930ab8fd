# SPDX-License-Identifier: Apache-2.0
"""Cases of the rate limiter, the IPv6 parser and the SYN-cookie responder."""

from packets import *
from small import LAN, LAN6, SHORTEST, WAN, WAN6, ZERO, frame
from suite import Suite


def rate_limiter():
    suite = Suite("rate_limiter")
    billion = 10**9
    packet = ethernet(IPV4, udp4(LAN, WAN, 1, 2))
    source = address(LAN)

    def limit(burst, rate=0):
        return {"limit": {ZERO: u32(rate) + u32(burst)}}

    def bucket(billionths, updated=0):
        return {"buckets": {source: u64(billionths) + u64(updated)}}

    def counted(admitted=0, refused=0, other=0):
        return {"outcomes": {u32(0): u64(admitted), u32(1): u64(refused), u32(2): u64(other)}}

    suite.case("a new source starts with a full bucket", packet, "PASS", None, limit(10), {
        **bucket(9 * billion),
        **counted(1)
    })
    suite.case("a burst of one leaves an empty bucket", packet, "PASS", None, limit(1), {**bucket(0), **counted(1)})
    suite.case("a packet takes one token", packet, "PASS", None, {
        **limit(10),
        **bucket(5 * billion)
    }, {
        **bucket(4 * billion),
        **counted(1)
    })
    suite.case("the last token", packet, "PASS", None, {**limit(10), **bucket(billion)}, {**bucket(0), **counted(1)})
    suite.case("not quite a token is none", packet, "DROP", None, {
        **limit(10),
        **bucket(billion - 1)
    }, {
        **bucket(billion - 1),
        **counted(0, 1)
    })
    suite.case("an empty bucket drops", packet, "DROP", None, {
        **limit(10),
        **bucket(0)
    }, {
        **bucket(0),
        **counted(0, 1)
    })
    suite.case("the largest burst", packet, "PASS", None, limit(0xFFFFFFFF), {
        **bucket(0xFFFFFFFE * billion),
        **counted(1)
    })
    suite.case("without a burst nothing is admitted or remembered", packet, "DROP", None, limit(0), {
        "buckets": {
            source: None
        },
        **counted(0, 1)
    })
    other = {"buckets": {address(WAN): u64(0) + u64(0)}}
    suite.case("another source's bucket does not matter", packet, "PASS", None, {
        **limit(2),
        **other
    }, {
        **bucket(billion),
        **counted(1)
    })
    suite.case("at rate 0 the stored time is left alone", packet, "PASS", None, {
        **limit(3),
        **bucket(2 * billion, 12345)
    }, {
        **bucket(billion, 12345),
        **counted(1)
    })
    # The clock is long past its start, so time 0 means: idle for longer than it takes to fill these buckets.
    suite.case("a fast refill fills the bucket", packet, "PASS", None, {
        **limit(2, 0xFFFFFFFF),
        **bucket(0)
    }, counted(1))
    suite.case("a slow refill after long idling is enough for a packet", packet, "PASS", None, {
        **limit(10, 1),
        **bucket(0)
    }, counted(1))
    suite.case("a lowered limit takes tokens away", packet, "DROP", None, {
        **limit(0, 1),
        **bucket(9 * billion)
    }, counted(0, 1))
    suite.case("IPv6 is not limited", ethernet(IPV6, udp6(LAN6, WAN6, 1, 2)), "PASS", None, limit(0), counted(0, 0, 1))
    suite.case("ARP is not limited", frame(ethernet(ARP, bytes(28))), "PASS", None, limit(0), counted(0, 0, 1))
    suite.case("the shortest frame", SHORTEST, "PASS", None, limit(0), counted(0, 0, 1))
    suite.case("IPv4 header cut off drops", packet[:33], "DROP", None, limit(10), counted())
    return suite


HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION, MOBILITY, NO_NEXT = 0, 43, 44, 51, 60, 135, 59
MALFORMED, TOO_DEEP, NOT_IPV6 = 0, 1, 2


def extension(next_header, units=0):
    """Hop-by-hop, routing, destination options or mobility header of 8 * (units + 1) bytes."""
    return bytes([next_header, units]) + bytes(6 + 8 * units)


def fragment_header(next_header, offset=0, more=1):
    return bytes([next_header, 0]) + be16(offset << 3 | more) + be32(77)


def parser_v6_qinq():
    suite = Suite("parser_v6_qinq")
    datagram = udp(LAN6, WAN6, 1, 2, b"data")

    def parsed(name, packet, protocol, tags, depth):
        suite.case(
            name, packet, "PASS", None, None, {
                "by_protocol": {
                    u32(protocol): u64(1) + u64(len(packet))
                },
                "by_depth": {
                    u32(tags * 9 + depth): u64(1)
                },
                "not_parsed": {u32(reason): u64(0) for reason in range(3)}
            })

    def refused(name, packet, reason):
        suite.case(
            name, packet, "PASS" if reason == NOT_IPV6 else "DROP", None, None, {
                "not_parsed": {u32(other): u64(1 if other == reason else 0) for other in range(3)},
                "by_protocol": {
                    u32(UDP): u64(0) + u64(0)
                }
            })

    def chain(first, *headers):
        return ipv6(LAN6, WAN6, first, b"".join(headers))

    plain = chain(UDP, datagram)
    parsed("no tags, no extensions", ethernet(IPV6, plain), UDP, 0, 0)
    parsed("one tag", ethernet(VLAN, tag(IPV6, plain)), UDP, 1, 0)
    parsed("QinQ", ethernet(QINQ, tag(VLAN, tag(IPV6, plain))), UDP, 2, 0)
    parsed("two tags of the same kind", ethernet(VLAN, tag(VLAN, tag(IPV6, plain))), UDP, 2, 0)
    refused("three tags are no IPv6", ethernet(QINQ, tag(VLAN, tag(VLAN, tag(IPV6, plain)))), NOT_IPV6)
    parsed("TCP", ethernet(IPV6, tcp6(LAN6, WAN6, 1, 2)), TCP, 0, 0)
    for name, kind in (("hop-by-hop", HOP_BY_HOP), ("routing", ROUTING), ("destination options", DESTINATION),
                       ("mobility", MOBILITY)):
        parsed(f"{name} header", ethernet(IPV6, chain(kind, extension(UDP), datagram)), UDP, 0, 1)
        parsed(f"long {name} header", ethernet(IPV6, chain(kind, extension(UDP, 3), datagram)), UDP, 0, 1)
        refused(f"{name} header longer than the packet", ethernet(IPV6, chain(kind, extension(UDP, 3)[:-1])), MALFORMED)
    parsed("authentication header counts in words of 4",
           ethernet(IPV6, chain(AUTHENTICATION,
                                bytes([UDP, 4]) + bytes(22), datagram)), UDP, 0, 1)
    parsed("the longest header", ethernet(IPV6, chain(DESTINATION, extension(UDP, 160), datagram)), UDP, 0, 1)
    # The header behind it is found only if the length is right.
    parsed("what follows an authentication header",
           ethernet(IPV6, chain(AUTHENTICATION,
                                bytes([DESTINATION, 3]) + bytes(18), extension(TCP), bytes(20))), TCP, 0, 2)
    refused("authentication header cut to one byte", ethernet(IPV6, chain(AUTHENTICATION, b"\x11")), MALFORMED)
    parsed("an extension header that ends with the packet", ethernet(IPV6, chain(DESTINATION, extension(NO_NEXT))),
           NO_NEXT, 0, 1)
    refused("Ethertype 0 passes", ethernet(0, bytes(46)), NOT_IPV6)
    parsed("first fragment", ethernet(IPV6, chain(FRAGMENT, fragment_header(UDP), datagram)), UDP, 0, 1)
    parsed("later fragment stays a fragment", ethernet(IPV6, chain(FRAGMENT, fragment_header(UDP, 8), datagram)),
           FRAGMENT, 0, 0)
    parsed("no next header", ethernet(IPV6, chain(NO_NEXT)), NO_NEXT, 0, 0)
    mixed = chain(HOP_BY_HOP, extension(ROUTING), extension(FRAGMENT, 1), fragment_header(DESTINATION),
                  extension(TCP, 2), bytes(20))
    parsed("a chain of four behind QinQ", ethernet(QINQ, tag(VLAN, tag(IPV6, mixed))), TCP, 2, 4)
    for count in (7, 8):
        parsed(f"{count} extension headers",
               ethernet(IPV6, chain(DESTINATION,
                                    extension(DESTINATION) * (count - 1), extension(UDP), datagram)), UDP, 0, count)
    for count in (9, 10):
        refused(f"{count} extension headers are too many",
                ethernet(IPV6, chain(DESTINATION,
                                     extension(DESTINATION) * (count - 1), extension(UDP), datagram)), TOO_DEEP)
    refused("the chain ends in the middle", ethernet(IPV6, chain(DESTINATION, extension(DESTINATION))), MALFORMED)
    refused("extension header cut to one byte", ethernet(IPV6, chain(DESTINATION, b"\x11")), MALFORMED)
    refused("fragment header cut off", ethernet(IPV6, chain(FRAGMENT, fragment_header(UDP)[:7])), MALFORMED)
    refused("IPv6 header cut off", ethernet(IPV6, plain[:39]), MALFORMED)
    refused("another version", ethernet(IPV6, b"\x45" + plain[1:]), MALFORMED)
    refused("tag cut off", ethernet(VLAN, be16(1) + b"\x86"), MALFORMED)
    refused("second tag cut off", ethernet(QINQ, tag(VLAN, b"")), MALFORMED)
    refused("IPv4 passes", ethernet(IPV4, udp4(LAN, WAN, 1, 2)), NOT_IPV6)
    refused("IPv4 in a VLAN passes", ethernet(VLAN, tag(IPV4, udp4(LAN, WAN, 1, 2))), NOT_IPV6)
    refused("the shortest frame passes", SHORTEST, NOT_IPV6)
    refused("an IPv6 Ethertype with nothing behind it", ethernet(IPV6), MALFORMED)
    return suite


def siphash(key, data):
    """SipHash-2-4 as its paper gives it; checked against the paper's test vector below."""
    mask = 2**64 - 1
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rotate(x, bits):
        return (x << bits | x >> (64 - bits)) & mask

    def rounds(count):
        for _ in range(count):
            v[0], v[2] = (v[0] + v[1]) & mask, (v[2] + v[3]) & mask
            v[1], v[3] = rotate(v[1], 13) ^ v[0], rotate(v[3], 16) ^ v[2]
            v[0] = rotate(v[0], 32)
            v[2], v[0] = (v[2] + v[1]) & mask, (v[0] + v[3]) & mask
            v[1], v[3] = rotate(v[1], 17) ^ v[2], rotate(v[3], 21) ^ v[0]
            v[2] = rotate(v[2], 32)

    padded = data + bytes(-(len(data) + 1) % 8) + bytes([len(data) & 255])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at:at + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


assert siphash(bytes(range(16)), bytes(range(15))) == 0xA129CA6149BE45E5

MSS_TABLE = (536, 1220, 1300, 1360, 1400, 1440, 1460, 8960)
KEY = bytes(range(0x30, 0x40))
EPOCH, PORT, CLIENT_PORT, SEQUENCE = 45, 443, 51000, 0x01020304


def mss_option(value):
    return b"\x02\x04" + be16(value)


def syncookie():
    suite = Suite("syncookie")
    config = {"configuration": {ZERO: KEY + u32(EPOCH) + be16(PORT) + bytes(2)}}
    key = address(LAN) + address(WAN) + be16(CLIENT_PORT) + be16(PORT)

    def cookie(mss_index, epoch=EPOCH, sequence=SEQUENCE):
        digest = siphash(KEY, key + u32(sequence) + u32(epoch) + u32(mss_index))
        return (epoch & 31) << 27 | mss_index << 24 | digest & 0xFFFFFF

    def counted(outcome=None):
        return {"outcomes": {u32(i): u64(1 if i == outcome else 0) for i in range(4)}}

    def packet(flags, port=PORT, **fields):
        return ethernet(IPV4, tcp4(LAN, WAN, CLIENT_PORT, port, flags=flags, **fields))

    def syn(name, options, mss_index, sequence=SEQUENCE, payload=b"", pad=b"", cut=0):
        answer = tcp4(WAN,
                      LAN,
                      PORT,
                      CLIENT_PORT,
                      flags=SYN | ACK,
                      sequence=cookie(mss_index, sequence=sequence),
                      acknowledgement=(sequence + 1) & 0xFFFFFFFF,
                      options=mss_option(1460),
                      ip_fields={"fragment": DONT_FRAGMENT})
        whole = packet(SYN, sequence=sequence, options=options, payload=payload) + pad
        suite.case(name, whole[:len(whole) - cut], "TX", ethernet(IPV4, answer, CLIENT_MAC, CARD_MAC), config, {
            **counted(0), "verified": {
                key: None
            }
        })

    syn("a SYN without options grows to the answer", b"", 0)
    syn("a padded SYN", b"", 0, pad=bytes(6))
    for offered, index in ((1460, 6), (1459, 5), (1300, 2), (1220, 1), (536, 0), (100, 0), (65535, 7)):
        syn(f"MSS {offered}", mss_option(offered), index)
    syn("the options of a common client", mss_option(1400) + b"\x04\x02\x08\x0a" + bytes(8) + b"\x01\x03\x03\x07", 4)
    syn("MSS behind others", b"\x01\x01\x04\x02" + b"\x03\x03\x07\x01" + mss_option(1440), 5)
    syn("the end of options hides what follows", b"\x00\x00\x00\x00" + mss_option(1440), 0)
    syn("an option of length 0 ends the search", b"\x05\x00\x00\x00" + mss_option(1440), 0)
    syn("MSS of the wrong length is none", b"\x02\x03\x05\xb4", 0)
    syn("the tenth option is looked at", b"\x01" * 9 + mss_option(1440) + bytes(3), 5)
    syn("the eleventh is not", b"\x01" * 10 + mss_option(1440) + bytes(2), 0)
    syn("an option that goes on behind the options is none", b"\x01\x01\x01\x02", 0, payload=mss_option(1460)[1:])
    for missing in (1, 2, 3, 4):
        syn(f"{missing} bytes of the options cut off", mss_option(1460), 0, cut=missing)
    syn("bytes behind the options are not options", b"\x01\x01\x01\x01", 0, payload=mss_option(1460))
    syn("sequence number at its end", mss_option(1460), 6, sequence=0xFFFFFFFF)
    syn("data on the SYN is not answered", mss_option(1460), 6, payload=bytes(500))

    def ack(name, value, passes, maps=None, flags=ACK, mss=None, sequence=SEQUENCE + 1):
        after = {**counted(1 if passes else 2), "verified": {key: u32(mss) if passes else None}}
        suite.case(name, packet(flags, sequence=sequence, acknowledgement=(value + 1) & 0xFFFFFFFF),
                   "PASS" if passes else "DROP", None, maps or config, after)

    for index, mss in enumerate(MSS_TABLE):
        ack(f"the ACK of a cookie for MSS {mss}", cookie(index), True, mss=mss)
    ack("a cookie of the last epoch", cookie(6, EPOCH - 1), True, mss=1460)
    ack("a cookie of two epochs ago", cookie(6, EPOCH - 2), False)
    ack("a cookie of an epoch to come", cookie(6, EPOCH + 1), False)
    ack("a cookie 32 epochs old", cookie(6, EPOCH - 32), False)
    ack("one bit wrong", cookie(6) ^ 1, False)
    ack("another MSS than was hashed", cookie(6) ^ 1 << 24, False)
    ack("another sequence number", cookie(6), False, sequence=SEQUENCE + 2)
    ack("another key", cookie(6), False, {"configuration": {ZERO: bytes(16) + u32(EPOCH) + be16(PORT) + bytes(2)}})
    ack("epoch 0 takes the last epoch before the wrap",
        cookie(6, 0xFFFFFFFF),
        True, {"configuration": {
            ZERO: KEY + u32(0) + be16(PORT) + bytes(2)
        }},
        mss=1460)
    ack("a FIN with the right cookie", cookie(6), True, flags=FIN | ACK, mss=1460)
    ack("a RST with the right cookie", cookie(6), False, flags=RST | ACK)
    ack("no ACK", cookie(6), False, flags=FIN)

    known = {**config, "verified": {key: u32(1460)}}
    for name, flags in (("data", ACK), ("FIN", FIN | ACK), ("RST", RST)):
        suite.case(f"{name} of a verified flow passes", packet(flags, payload=b"x"), "PASS", None, known, counted(3))
    for name, flags in (("SYN-ACK", SYN | ACK), ("SYN-FIN", SYN | FIN), ("SYN-RST", SYN | RST)):
        suite.case(f"{name} is dropped", packet(flags), "DROP", None, config, counted())
    others = (("another port passes", packet(SYN,
                                             port=80)), ("UDP passes", ethernet(IPV4, udp4(LAN, WAN, CLIENT_PORT,
                                                                                           PORT))),
              ("IPv6 passes", ethernet(IPV6, tcp6(LAN6, WAN6, 1, PORT))), ("the shortest frame passes", SHORTEST))
    for name, other in others:
        suite.case(name, other, "PASS", None, config, counted())
    whole = packet(SYN)
    short_header = whole[:46] + b"\x40" + whole[47:]
    optioned = ethernet(IPV4, ipv4(LAN, WAN, TCP, tcp(LAN, WAN, CLIENT_PORT, PORT, flags=SYN), options=b"\1\1\1\1"))
    fragment = ethernet(IPV4, tcp4(LAN, WAN, CLIENT_PORT, PORT, flags=SYN, ip_fields={"fragment": MORE_FRAGMENTS}))
    for name, bad in (("IPv4 header cut off", whole[:33]), ("TCP header cut off", whole[:53]),
                      ("IPv4 options", optioned), ("a fragment", fragment), ("a TCP header length below 5",
                                                                             short_header)):
        suite.case(f"{name} is dropped", bad, "DROP", None, config, counted())
    return suite
