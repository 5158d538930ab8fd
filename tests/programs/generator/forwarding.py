# SPDX-License-Identifier: Apache-2.0
"""Cases of the programs that send packets on: one function per program."""

from packets import *
from small import LAN, LAN6, SAMPLE, SHORTEST, WAN, WAN6, ZERO, frame
from suite import Suite

NEXT_HOP = bytes.fromhex("02ddddddd001")
GATEWAY_MAC = bytes.fromhex("02ddddddd002")


def adjust_tail():
    suite = Suite("adjust_tail")
    sent, none = {"answers_sent": {ZERO: u64(1)}}, {"answers_sent": {ZERO: u64(0)}}

    def answer(packet, limit):
        """The first 84 bytes from the IPv4 header on, behind new headers towards the sender."""
        quoted = packet[14:98]
        source, destination = ".".join(map(str, packet[26:30])), ".".join(map(str, packet[30:34]))
        message = icmp(3, 4, be16(0) + be16(limit - 14), quoted)
        return ethernet(IPV4, ipv4(destination, source, ICMP, message, fragment=DONT_FRAGMENT), packet[6:12],
                        packet[0:6])

    def datagram(length):
        return ethernet(
            IPV4, udp4(LAN, WAN, 4000, 53, bytes(i * 7 & 255 for i in range(length - 42)), fragment=DONT_FRAGMENT))

    for length in (601, 602, 1514):
        suite.case(f"{length} bytes are answered", datagram(length), "TX", answer(datagram(length), 600), None, sent)
    for length in (60, 99, 600):
        suite.case(f"{length} bytes pass", datagram(length), "PASS", expect_maps=none)
    suite.case("a lower limit", datagram(101), "TX", answer(datagram(101), 100), {".rodata": {ZERO: u32(100)}}, sent)
    suite.case("what is no longer than the answer quotes passes under any limit",
               datagram(98),
               "PASS",
               maps={".rodata": {
                   ZERO: u32(60)
               }},
               expect_maps=none)
    suite.case("one byte more is answered", datagram(99), "TX", answer(datagram(99), 60), {".rodata": {
        ZERO: u32(60)
    }}, sent)
    long6 = ethernet(IPV6, udp6(LAN6, WAN6, 1, 2, bytes(1000)))
    suite.case("long IPv6 passes", long6, "PASS", expect_maps=none)
    suite.case("the shortest frame passes", SHORTEST, "PASS", expect_maps=none)
    suite.case("an IPv4 Ethertype with nothing behind it passes", ethernet(IPV4), "PASS", expect_maps=none)
    suite.case("adds to the count", datagram(800), "TX", answer(datagram(800), 600), {"answers_sent": {
        ZERO: u64(41)
    }}, {"answers_sent": {
        ZERO: u64(42)
    }})
    return suite


def router_ipv4():
    suite = Suite("router_ipv4")
    port_mac = bytes.fromhex("02eeeeee0001")

    def prefix(text, length):
        return u32(length) + address(text)

    def route(gateway, port):
        return (address(gateway) if gateway else bytes(4)) + u32(port) + port_mac + bytes(2)

    tables = {
        "routes": {
            prefix("203.0.113.0", 24): route(None, 0),
            prefix("198.51.0.0", 16): route("203.0.113.1", 1),
            prefix("198.51.100.0", 24): route("203.0.113.2", 0),
            prefix("10.0.0.0", 8): route(None, 5)
        },
        "neighbours": {
            address("203.0.113.1"): GATEWAY_MAC + bytes(2),
            address(WAN): NEXT_HOP + bytes(2),
            address("10.1.1.1"): NEXT_HOP + bytes(2)
        },
        "exact_match": {
            address("198.51.7.7"): u32(1) + b"\x02exact" + b"\x02hostm"
        },
        "tx_port": {
            u32(0): u32(1),
            u32(1): u32(1)
        },
    }

    def datagram(destination, ttl=64, **fields):
        return frame(ethernet(IPV4, udp4(LAN, destination, 4000, 53, b"query", ttl=ttl, **fields)))

    def routed(destination, mac, source=port_mac, ttl=63, **fields):
        packet = datagram(destination, ttl, **fields)
        return mac + source + packet[12:]

    def add(name, packet, verdict, expect=None, counted=0, maps=tables):
        suite.case(name, packet, verdict, expect, maps, {"forwarded_by_protocol": {u32(UDP): u64(counted)}})

    add("on the link: next hop is the destination", datagram(WAN), "REDIRECT", routed(WAN, NEXT_HOP), 1)
    add("through a gateway", datagram("198.51.1.1"), "REDIRECT", routed("198.51.1.1", GATEWAY_MAC), 1)
    add("exact match wins over the prefix", datagram("198.51.7.7"), "REDIRECT",
        routed("198.51.7.7", b"\x02hostm", b"\x02exact"), 1)
    add("the longer prefix wins; its gateway is unresolved, so the host gets it", datagram("198.51.100.9"), "PASS")
    add("unresolved neighbour passes", datagram("203.0.113.99"), "PASS")
    add("no route drops", datagram("8.8.8.8"), "DROP")
    add("an empty port aborts, after the rewrite", datagram("10.1.1.1"), "ABORTED", routed("10.1.1.1", NEXT_HOP), 1)
    add("empty tables drop", datagram(WAN), "DROP", maps=None)
    default = dict(tables, routes={prefix("0.0.0.0", 0): route("203.0.113.1", 0)})
    add("the default route takes the rest", datagram("8.8.8.8"), "REDIRECT", routed("8.8.8.8", GATEWAY_MAC), 1, default)
    for ttl in (0, 1):
        add(f"TTL {ttl} passes to the host, which answers", datagram(WAN, ttl), "PASS")
    add("TTL 2 leaves with 1", datagram(WAN, 2), "REDIRECT", routed(WAN, NEXT_HOP, ttl=1), 1)
    add("TTL 255", datagram(WAN, 255), "REDIRECT", routed(WAN, NEXT_HOP, ttl=254), 1)

    def header_sum(identification):
        return int.from_bytes(datagram(WAN, identification=identification)[24:26], "big")

    # Incremental update at its carries: checksums just below the point where adding 0x0100 wraps, and just above.
    for target in (0xFDFF, 0xFEFF, 0xFEFE, 0xFF00, 0xFFFE, 0x0000):
        identification = next((i for i in range(65536) if header_sum(i) == target), None)
        if identification is not None:
            add(f"checksum {target:#06x} is updated", datagram(WAN, identification=identification), "REDIRECT",
                routed(WAN, NEXT_HOP, identification=identification), 1)
    add("ARP passes", frame(ethernet(ARP, bytes(28))), "PASS")
    add("options pass", ethernet(IPV4, ipv4(LAN, WAN, UDP, udp(LAN, WAN, 1, 2), options=b"\x94\x04\0\0")), "PASS")
    add("IPv6 passes", ethernet(IPV6, udp6(LAN6, WAN6, 1, 2)), "PASS")
    add("IPv4 header cut off drops", datagram(WAN)[:33], "DROP")
    add("IPv4 header and no more is routed", ethernet(IPV4, ipv4(LAN, WAN, UDP)), "REDIRECT",
        ethernet(IPV4, ipv4(LAN, WAN, UDP, ttl=63), NEXT_HOP, port_mac), 1)
    add("the shortest frame passes", SHORTEST, "PASS")
    return suite


def simple_firewall():
    suite = Suite("simple_firewall")
    # One port each: the wrong one would abort.
    outward_port, inward_port = {"tx_port": {u32(0): u32(1)}}, {"tx_port": {u32(1): u32(1)}}
    # The tests' packets come in on interface 1: it is the interior by default, the exterior with this setting.
    exterior = {".rodata": {ZERO: u32(99)}}

    def flow(protocol, inside=LAN, outside=WAN, inside_port=4000, outside_port=53):
        return address(inside) + address(outside) + be16(inside_port) + be16(outside_port) + u32(protocol)

    def with_flow(key, packets, *more):
        merged = {"flows": {key: u64(packets)}}
        for maps in more:
            merged.update(maps)
        return merged

    out_udp = ethernet(IPV4, udp4(LAN, WAN, 4000, 53, b"query"))
    in_udp = ethernet(IPV4, udp4(WAN, LAN, 53, 4000, b"answer"))
    out_tcp = ethernet(IPV4, tcp4(LAN, WAN, 4000, 53, flags=SYN))
    in_tcp = ethernet(IPV4, tcp4(WAN, LAN, 53, 4000, flags=SYN | ACK))
    for name, protocol, outward, inward in (("UDP", UDP, out_udp, in_udp), ("TCP", TCP, out_tcp, in_tcp)):
        key, other = flow(protocol), flow(UDP if protocol == TCP else TCP)
        suite.case(f"{name} from the LAN opens a flow", outward, "REDIRECT", None, outward_port,
                   {"flows": {
                       key: u64(1)
                   }})
        suite.case(f"{name} from the LAN counts on its flow", outward, "REDIRECT", None,
                   with_flow(key, 7, outward_port), {"flows": {
                       key: u64(8)
                   }})
        suite.case(f"{name} answer from the WAN passes and counts", inward, "REDIRECT", None,
                   with_flow(key, 1, inward_port, exterior), {"flows": {
                       key: u64(2)
                   }})
        suite.case(f"{name} from the WAN without a flow is dropped", inward, "DROP", None,
                   dict(inward_port, **exterior), {"flows": {
                       key: None
                   }})
        suite.case(f"{name} is not let in by the other protocol's flow", inward, "DROP", None,
                   with_flow(other, 1, inward_port, exterior), {"flows": {
                       other: u64(1),
                       key: None
                   }})
    suite.case("another port from the WAN is dropped", ethernet(IPV4, udp4(WAN, LAN, 54, 4000)), "DROP", None,
               with_flow(flow(UDP), 1, inward_port, exterior), {"flows": {
                   flow(UDP): u64(1)
               }})
    suite.case("addresses and ports are not sorted apart", ethernet(IPV4, udp4(WAN, LAN, 4000, 53)), "DROP", None,
               with_flow(flow(UDP), 1, inward_port, exterior), {"flows": {
                   flow(UDP): u64(1)
               }})
    suite.case("the flow opens though its port is empty, and the packet aborts", out_udp, "ABORTED", None, None,
               {"flows": {
                   flow(UDP): u64(1)
               }})
    echo = ethernet(IPV4, ipv4(LAN, WAN, ICMP, icmp(8, 0, be32(1))))
    suite.case("ICMP is dropped", echo, "DROP", None, outward_port)
    suite.case("IPv6 is dropped", ethernet(IPV6, udp6(LAN6, WAN6, 1, 2)), "DROP", None, outward_port)
    suite.case("options are dropped", ethernet(IPV4, ipv4(LAN, WAN, UDP, udp(LAN, WAN, 1, 2), options=b"\1\1\1\1")),
               "DROP", None, outward_port)
    suite.case("a cut-off UDP header is dropped", out_udp[:41], "DROP", None, outward_port,
               {"flows": {
                   flow(UDP): None
               }})
    suite.case("ports are enough of TCP", out_tcp[:42], "REDIRECT", None, outward_port, {"flows": {flow(TCP): u64(1)}})
    suite.case("the shortest frame is dropped", SHORTEST, "DROP", None, outward_port)
    return suite


def tx_ip_tunnel():
    suite = Suite("tx_ip_tunnel")
    inet, inet6 = 2, 10
    near, far, near6, far6 = "172.31.0.1", "172.31.0.2", "fd01::1", "fd01::2"

    def service(destination, port, protocol):
        packed = address(destination)
        family = inet if len(packed) == 4 else inet6
        return packed.ljust(16, b"\0") + be16(port) + u16(family) + bytes([protocol, 0, 0, 0])

    def tunnel(source, destination):
        packed = address(source)
        family = inet if len(packed) == 4 else inet6
        return packed.ljust(16, b"\0") + address(destination).ljust(16, b"\0") + u16(family) + NEXT_HOP

    tunnels = {
        "tunnels": {
            service(WAN, 53, UDP): tunnel(near, far),
            service(WAN, 80, TCP): tunnel(near, far),
            service(WAN, 0, ICMP): tunnel(near, far),
            service(WAN6, 53, UDP): tunnel(near6, far6),
            service(WAN6, 80, TCP): tunnel(near6, far6),
            service(WAN6, 0, ICMPV6): tunnel(near6, far6),
            service(WAN, 99, UDP): tunnel(near6, far6),
            service(WAN6, 99, UDP): tunnel(near, far)
        }
    }

    def outer4(inner):
        return ethernet(IPV4, ipv4(near, far, 4, inner), NEXT_HOP, CARD_MAC)

    def outer6(inner):
        return ethernet(IPV6, ipv6(near6, far6, 41, inner), NEXT_HOP, CARD_MAC)

    def add(name, packet, verdict, expect=None, protocol=UDP):
        counted = {u32(protocol): u64(1 if verdict == "TX" else 0)}
        suite.case(name, packet, verdict, expect, tunnels, {"sent_by_protocol": counted})

    for name, protocol, inner in (("UDP", UDP, udp4(LAN, WAN, 4000, 53,
                                                    b"query")), ("TCP", TCP, tcp4(LAN, WAN, 4000, 80,
                                                                                  payload=b"GET /")),
                                  ("ICMP", ICMP, ipv4(LAN, WAN, ICMP, icmp(8, 0, be32(1))))):
        add(f"IPv4 {name} is encapsulated", ethernet(IPV4, inner), "TX", outer4(inner), protocol)
    long = udp4(LAN, WAN, 4000, 53, bytes(1400))
    add("a long packet is encapsulated", ethernet(IPV4, long), "TX", outer4(long))
    for name, protocol, inner in (("UDP", UDP, udp6(LAN6, WAN6, 4000, 53,
                                                    b"query")), ("TCP", TCP, tcp6(LAN6,
                                                                                  WAN6,
                                                                                  4000,
                                                                                  80,
                                                                                  payload=b"GET /")),
                                  ("ICMP", ICMPV6, ipv6(LAN6, WAN6, ICMPV6, icmpv6(LAN6, WAN6, 128, 0, be32(1))))):
        add(f"IPv6 {name} is encapsulated", ethernet(IPV6, inner), "TX", outer6(inner), protocol)
    padded = udp4(LAN, WAN, 4000, 53, b"")
    add("Ethernet padding stays behind the inner packet", frame(ethernet(IPV4, padded)), "TX",
        outer4(padded) + bytes(18))

    def carries_twice(source):
        """True if adding the carries of the outer header's sum of little-endian words gives another carry."""
        header = ipv4(source, far, 4, padded)[:20]
        words = sum(int.from_bytes(header[i:i + 2], "little") for i in range(0, 20, 2) if i != 10)
        return (words & 0xFFFF) + (words >> 16) > 0xFFFF

    carrying = next(text for text in (f"172.254.{i >> 8}.{i & 255}" for i in range(65536)) if carries_twice(text))
    suite.case("a header sum that carries twice", ethernet(IPV4, padded), "TX",
               ethernet(IPV4, ipv4(carrying, far, 4, padded), NEXT_HOP, CARD_MAC),
               {"tunnels": {
                   service(WAN, 53, UDP): tunnel(carrying, far)
               }})
    add("another port passes", ethernet(IPV4, udp4(LAN, WAN, 53, 54)), "PASS")
    add("another protocol passes", ethernet(IPV4, tcp4(LAN, WAN, 1, 53)), "PASS", protocol=TCP)
    add("another address passes", ethernet(IPV4, udp4(WAN, LAN, 1, 53)), "PASS")
    add("IPv4 to a service with an IPv6 tunnel passes", ethernet(IPV4, udp4(LAN, WAN, 1, 99)), "PASS")
    add("IPv6 to a service with an IPv4 tunnel passes", ethernet(IPV6, udp6(LAN6, WAN6, 1, 99)), "PASS")
    add("options pass", ethernet(IPV4, ipv4(LAN, WAN, UDP, udp(LAN, WAN, 1, 53), options=b"\1\1\1\1")), "PASS")
    add("ARP passes", frame(ethernet(ARP, bytes(28))), "PASS")
    add("the shortest frame passes", SHORTEST, "PASS")
    add("IPv4 header cut off drops", SAMPLE[:33], "DROP")
    add("UDP header cut off drops", SAMPLE[:41], "DROP")
    add("TCP header cut off drops", ethernet(IPV4, tcp4(LAN, WAN, 1, 80))[:53], "DROP", protocol=TCP)
    add("IPv6 header cut off drops", ethernet(IPV6, udp6(LAN6, WAN6, 1, 53))[:53], "DROP")
    add("IPv6 UDP header cut off drops", ethernet(IPV6, udp6(LAN6, WAN6, 1, 53))[:61], "DROP")
    return suite


def nat44():
    suite = Suite("nat44")
    public = "198.51.100.1"
    outcomes = ("translated out", "translated in", "new", "no port", "unsolicited")

    def side(where, port, protocol):
        return (address(where) if where else bytes(4)) + be16(port) + u16(protocol)

    def config(interior):
        """The tests' packets come in on interface 1: inside with interior 1, outside with another."""
        return {"configuration": {ZERO: address(public) + u32(interior)}}

    def mapping(protocol, inside_port=4000, outside_port=50000):
        return {
            "outbound": {
                side(LAN, inside_port, protocol): side(public, outside_port, protocol)
            },
            "inbound": {
                side(None, outside_port, protocol): side(LAN, inside_port, protocol)
            }
        }

    def counted(*names):
        return {"outcomes": {u32(i): u64(1 if name in names else 0) for i, name in enumerate(outcomes)}}

    def echo(kind, source, destination, identifier):
        return ethernet(IPV4, ipv4(source, destination, ICMP, icmp(kind, 0, be16(identifier) + be16(7), b"ping!")))

    def udp_packet(*fields, **more):
        return ethernet(IPV4, udp4(*fields, **more))

    def tcp_packet(*fields, **more):
        return ethernet(IPV4, tcp4(*fields, **more))

    pairs = {
        "UDP": (UDP, udp_packet(LAN, WAN, 4000, 53, b"query"), udp_packet(public, WAN, 50000, 53, b"query"),
                udp_packet(WAN, public, 53, 50000, b"answer"), udp_packet(WAN, LAN, 53, 4000, b"answer")),
        "TCP": (TCP, tcp_packet(LAN, WAN, 4000, 80, payload=b"odd"), tcp_packet(public, WAN, 50000, 80, payload=b"odd"),
                tcp_packet(WAN, public, 80, 50000), tcp_packet(WAN, LAN, 80, 4000)),
        "ICMP echo": (ICMP, echo(8, LAN, WAN, 4000), echo(8, public, WAN, 50000), echo(0, WAN, public,
                                                                                       50000), echo(0, WAN, LAN, 4000)),
    }
    for name, (protocol, out, out_after, back, back_after) in pairs.items():
        known = mapping(protocol)
        pool = {"free_ports": [be16(50000), be16(50001)]}
        suite.case(f"{name}: a new flow takes the first free port", out, "PASS", out_after, {
            **config(1),
            **pool
        }, {
            **known, "free_ports": [be16(50001)],
            **counted("translated out", "new")
        })
        suite.case(f"{name}: a known flow keeps its port", out, "PASS", out_after, {
            **config(1),
            **known,
            **pool
        }, {
            **known,
            **pool,
            **counted("translated out")
        })
        suite.case(f"{name}: an answer finds its way back", back, "PASS", back_after, {
            **config(9),
            **known
        }, {
            **known,
            **counted("translated in")
        })
        suite.case(
            f"{name}: no free port drops", out, "DROP", None, config(1), {
                "outbound": {
                    next(iter(known["outbound"])): None
                },
                "inbound": {
                    next(iter(known["inbound"])): None
                },
                **counted("no port")
            })
        suite.case(f"{name}: unsolicited from outside drops", back, "DROP", None, config(9), counted("unsolicited"))
    taken = {"inbound": {side(None, 50000, UDP): side("192.168.1.77", 1, UDP)}}
    suite.case("a port that is in use after all goes back to the pool", pairs["UDP"][1], "DROP", None, {
        **config(1),
        **taken, "free_ports": [be16(50000), be16(50001)]
    }, {
        **taken, "free_ports": [be16(50001), be16(50000)],
        **counted("no port")
    })
    suite.case("UDP without checksum stays without", udp_packet(LAN, WAN, 4000, 53, b"query", without_checksum=True),
               "PASS", udp_packet(public, WAN, 50000, 53, b"query", without_checksum=True), {
                   **config(1),
                   **mapping(UDP)
               }, counted("translated out"))

    def zero_sum(payload):
        """True if the translated datagram's checksum computes to 0, which UDP writes as 0xffff."""
        segment = udp(public, WAN, 50000, 53, payload)
        return segment[6:8] == b"\xff\xff"

    payload = next(be16(i) for i in range(65536) if zero_sum(be16(i)))
    suite.case("a UDP checksum that becomes 0 is written as 0xffff", udp_packet(LAN, WAN, 4000, 53, payload), "PASS",
               udp_packet(public, WAN, 50000, 53, payload), {
                   **config(1),
                   **mapping(UDP)
               }, counted("translated out"))
    untouched = (("an echo request from outside is for the host", echo(8, WAN, public, 50000),
                  9), ("an echo reply from inside is not translated", echo(0, LAN, WAN, 4000), 1),
                 ("ICMP errors are not translated", ethernet(IPV4, ipv4(WAN, public, ICMP, icmp(3, 4, bytes(4)))),
                  9), ("from outside to another address passes", udp_packet(WAN, "198.51.100.2", 53, 50000),
                       9), ("another protocol passes", ethernet(IPV4, ipv4(LAN, WAN, 47, bytes(8))), 1),
                 ("IPv6 passes", ethernet(IPV6, udp6(LAN6, WAN6, 1, 2)), 1), ("the shortest frame passes", SHORTEST, 1))
    for name, packet, interior in untouched:
        suite.case(name, packet, "PASS", None, {**config(interior), **mapping(UDP), **mapping(ICMP)}, counted())
    dropped = (("a first fragment drops", udp_packet(LAN, WAN, 4000, 53, bytes(8),
                                                     fragment=MORE_FRAGMENTS)), ("a later fragment drops",
                                                                                 udp_packet(LAN,
                                                                                            WAN,
                                                                                            4000,
                                                                                            53,
                                                                                            bytes(8),
                                                                                            fragment=5)),
               ("options drop", ethernet(IPV4, ipv4(LAN, WAN, UDP, udp(LAN, WAN, 4000, 53), options=b"\1\1\1\1"))),
               ("IPv4 header cut off drops", pairs["UDP"][1][:33]), ("UDP header cut off drops", pairs["UDP"][1][:41]),
               ("ICMP header cut off drops", pairs["ICMP echo"][1][:41]))
    for name, packet in dropped:
        suite.case(name, packet, "DROP", None, {**config(1), **mapping(UDP)}, counted())
    suite.case("TCP header cut off behind its ports drops", pairs["TCP"][1][:53], "DROP", None, {
        **config(1),
        **mapping(TCP)
    }, counted())
    suite.case("do-not-fragment is not a fragment", udp_packet(LAN, WAN, 4000, 53, fragment=DONT_FRAGMENT), "PASS",
               udp_packet(public, WAN, 50000, 53, fragment=DONT_FRAGMENT), {
                   **config(1),
                   **mapping(UDP)
               }, counted("translated out"))
    return suite
