# SPDX-License-Identifier: Apache-2.0
"""Cases of the two load balancers."""

from packets import *
from small import SHORTEST, ZERO, frame
from suite import Suite

CLIENT, SERVICE, SERVER, ROUTER = "192.0.2.55", "198.51.100.80", "10.20.30.40", "192.0.2.1"
CLIENT6, SERVICE6, SERVER6 = "2001:db8:1:2:3:4:5:6", "2001:db8:ffff::80", "fd00:20:30::40"
NEXT_HOP = bytes.fromhex("02ddddddd001")
RING_SIZE = 4093
WITHOUT_SOURCE_PORT, WITHOUT_CONNECTIONS = 1, 2
EVENTS = ("ring", "tcp syn", "tcp unknown", "not remembered", "icmp error", "echo", "bad real")


def padded(text):
    return address(text).ljust(16, b"\0")


def vip(where, port, protocol, number=0, flags=0):
    """An entry of `vips`."""
    return {padded(where) + be16(port) + bytes([protocol, 0]): u32(flags) + u32(number)}


def real(where):
    return padded(where) + u32(0 if "." in where else 1)


def flow(source, destination, source_port, destination_port, protocol):
    return padded(source) + padded(destination) + be16(source_port) + be16(destination_port) + u32(protocol)


def connection(index):
    return u32(index) + bytes(12)


def traffic(packets, size):
    return u64(packets) + u64(size)


def tunnel4(inner, client=CLIENT, port=4000, server=SERVER, tos=0):
    """The packet to an IPv4 real; outer source 172.16 and the xor of port and both halves of the client's address."""
    a, b, c, d = address(client)
    source = f"172.16.{a ^ c ^ port >> 8}.{b ^ d ^ port & 255}"
    return ethernet(IPV4, ipv4(source, server, 4, inner, tos=tos), NEXT_HOP, CARD_MAC)


def tunnel6(inner, last_word, port=4000, server=SERVER6, traffic_class=0):
    source = bytes.fromhex("0100000000000000") + be16(port) + bytes(2) + last_word
    packed = ipv6("::", server, 41 if inner[0] >> 4 == 6 else 4, inner, traffic_class=traffic_class)
    return ethernet(IPV6, packed[:8] + source + packed[24:], NEXT_HOP, CARD_MAC)


def last_word6(client):
    packed = address(client)
    return bytes(x ^ y for x, y in zip(packed[8:12], packed[12:16]))


def mix(a, b, c):
    """Jenkins' lookup3 final(), as published."""
    mask = 0xFFFFFFFF

    def rotate(x, k):
        return (x << k | x >> (32 - k)) & mask

    for turn in (14, 11, 25, 16, 4, 14, 24):
        # c takes b, a takes c, b takes a, and round again: rename the three after each step.
        c = ((c ^ b) - rotate(b, turn)) & mask
        a, b, c = b, c, a
    # Seven steps leave the value of c, as it was last written, in b.
    return b


def slot(number, client, client_port, port, protocol):
    """The ring entry of a flow. Words are little-endian reads of what lies in the packet."""
    words = [int.from_bytes(address(client)[i:i + 4], "little") for i in range(0, len(address(client)), 4)]
    word = words[0] if len(words) == 1 else mix(words[0] ^ words[1], words[2], words[3])
    ports = int.from_bytes(be16(port) + be16(client_port), "little")
    return u32(number * RING_SIZE + mix(word, ports, protocol) % RING_SIZE)


def counted(*names):
    return {"events": {u32(i): u64(1 if name in names else 0) for i, name in enumerate(EVENTS)}}


def rodata(udp_idle_ns=0, max_new_per_second=0):
    """The read-only data of katran_lb."""
    return u64(udp_idle_ns) + u64(max_new_per_second)


HOP = {"next_hop": {ZERO: NEXT_HOP + bytes(2)}}
REALS = {"reals": {u32(1): real(SERVER), u32(2): real(SERVER6), u32(3): real("10.20.30.41")}}


def forwarded(number, index, size):
    return {"vip_traffic": {u32(number): traffic(1, size)}, "real_traffic": {u32(index): traffic(1, size)}}


def katran_min():
    suite = Suite("katran_min")
    inner = udp4(CLIENT, SERVICE, 4000, 53, b"query", tos=0x2C)
    packet = ethernet(IPV4, inner)
    key = flow(CLIENT, SERVICE, 4000, 53, UDP)
    maps = {"vips": vip(SERVICE, 53, UDP, 5), "connections": {key: connection(1)}, **REALS, **HOP}
    after = {**forwarded(5, 1, len(inner)), "unknown_flows": {ZERO: u64(0)}, "connections": {key: connection(1)}}
    suite.case("a known flow goes to its real", packet, "TX", tunnel4(inner, tos=0x2C), maps, after)
    every_port = {**maps, "vips": vip(SERVICE, 0, UDP, 6)}
    suite.case("a VIP for all ports", packet, "TX", tunnel4(inner, tos=0x2C), every_port, forwarded(6, 1, len(inner)))
    both = {**maps, "vips": {**vip(SERVICE, 0, UDP, 6), **vip(SERVICE, 53, UDP, 5)}}
    suite.case("the VIP for the port comes first", packet, "TX", tunnel4(inner, tos=0x2C), both,
               forwarded(5, 1, len(inner)))
    long = udp4(CLIENT, SERVICE, 4000, 53, bytes(range(256)) * 5)
    suite.case("a long packet", ethernet(IPV4, long), "TX", tunnel4(long), maps, forwarded(5, 1, len(long)))
    suite.case("an unknown flow is dropped and counted", packet, "DROP", None, {
        **maps, "connections": {}
    }, {
        "unknown_flows": {
            ZERO: u64(1)
        },
        "vip_traffic": {
            u32(5): traffic(0, 0)
        },
        "connections": {
            key: None
        }
    })
    suite.case("another client port is another flow", ethernet(IPV4, udp4(CLIENT, SERVICE, 4001, 53)), "DROP", None,
               maps, {"unknown_flows": {
                   ZERO: u64(1)
               }})
    suite.case("a connection to a real outside the table is dropped", packet, "DROP", None, {
        **maps, "connections": {
            key: connection(512)
        }
    }, {"vip_traffic": {
        u32(5): traffic(0, 0)
    }})
    # Whatever the clock says, it is far from 0 and from 2^63.
    suite.case("a flow idle for too long is unknown", packet, "DROP", None, {
        **maps, ".rodata": {
            ZERO: u64(1)
        }
    }, {"unknown_flows": {
        ZERO: u64(1)
    }})
    suite.case("a flow not idle for too long", packet, "TX", tunnel4(inner, tos=0x2C), {
        **maps, ".rodata": {
            ZERO: u64(1 << 63)
        }
    }, forwarded(5, 1, len(inner)))
    suite.case("another port is no VIP and passes", ethernet(IPV4, udp4(CLIENT, SERVICE, 4000, 54)), "PASS", None, maps)
    suite.case("TCP passes", ethernet(IPV4, tcp4(CLIENT, SERVICE, 4000, 53)), "PASS", None, maps)
    suite.case("IPv6 passes", ethernet(IPV6, udp6(CLIENT6, SERVICE6, 4000, 53)), "PASS", None, maps)
    suite.case("the shortest frame passes", SHORTEST, "PASS", None, maps)
    for name, fragment in (("first", MORE_FRAGMENTS), ("later", 3)):
        suite.case(f"a {name} fragment drops", ethernet(IPV4, udp4(CLIENT, SERVICE, 4000, 53, fragment=fragment)),
                   "DROP", None, maps)
    options = ipv4(CLIENT, SERVICE, UDP, udp(CLIENT, SERVICE, 4000, 53), options=b"\1\1\1\1")
    suite.case("options drop", ethernet(IPV4, options), "DROP", None, maps)
    suite.case("IPv4 header cut off drops", packet[:33], "DROP", None, maps)
    suite.case("UDP header cut off drops", packet[:41], "DROP", None, maps)
    return suite


def by_ring(suite):
    """Real chosen by the ring."""
    maps = {
        "vips": {
            **vip(SERVICE, 80, TCP, 3),
            **vip(SERVICE, 53, UDP, 0),
            **vip(SERVICE6, 53, UDP, 63)
        },
        **REALS,
        **HOP
    }
    syn = tcp4(CLIENT, SERVICE, 4000, 80, flags=SYN, ip_fields={"tos": 8})
    tcp_slot, tcp_flow = slot(3, CLIENT, 4000, 80, TCP), flow(CLIENT, SERVICE, 4000, 80, TCP)
    suite.case("a SYN goes where the ring says and is remembered", ethernet(IPV4, syn), "TX", tunnel4(syn, tos=8), {
        **maps, "ring": {
            tcp_slot: u32(1)
        }
    }, {
        "connections": {
            tcp_flow: connection(1)
        },
        **forwarded(3, 1, len(syn)),
        **counted("ring", "tcp syn")
    })
    suite.case("a SYN does not ask the connection table", ethernet(IPV4, syn), "TX", tunnel4(syn, tos=8), {
        **maps, "ring": {
            tcp_slot: u32(1)
        },
        "connections": {
            tcp_flow: connection(3)
        }
    }, {
        "connections": {
            tcp_flow: connection(1)
        },
        **forwarded(3, 1, len(syn)),
        **counted("ring", "tcp syn")
    })
    data = tcp4(CLIENT, SERVICE, 4000, 80, payload=b"GET /")
    suite.case("TCP in the middle of an unknown connection", ethernet(IPV4, data), "TX",
               tunnel4(data, server="10.20.30.41"), {
                   **maps, "ring": {
                       tcp_slot: u32(3)
                   }
               }, {
                   "connections": {
                       tcp_flow: connection(3)
                   },
                   **forwarded(3, 3, len(data)),
                   **counted("ring", "tcp unknown")
               })
    query = udp4(CLIENT, SERVICE, 4000, 53, b"query")
    udp_slot, udp_flow = slot(0, CLIENT, 4000, 53, UDP), flow(CLIENT, SERVICE, 4000, 53, UDP)
    suite.case("UDP by the ring", ethernet(IPV4, query), "TX", tunnel4(query), {
        **maps, "ring": {
            udp_slot: u32(1)
        }
    }, {
        "connections": {
            udp_flow: connection(1)
        },
        **forwarded(0, 1, len(query)),
        **counted("ring")
    })
    suite.case("IPv4 to an IPv6 real", ethernet(IPV4, query), "TX", tunnel6(query, address(CLIENT)), {
        **maps, "ring": {
            udp_slot: u32(2)
        }
    }, forwarded(0, 2, len(query)))
    query6 = udp6(CLIENT6, SERVICE6, 4000, 53, b"query", traffic_class=0xB8, flow_label=0x12345)
    slot6, flow6 = slot(63, CLIENT6, 4000, 53, UDP), flow(CLIENT6, SERVICE6, 4000, 53, UDP)
    suite.case("IPv6 by the ring, traffic class copied", ethernet(IPV6, query6), "TX",
               tunnel6(query6, last_word6(CLIENT6), traffic_class=0xB8), {
                   **maps, "ring": {
                       slot6: u32(2)
                   }
               }, {
                   "connections": {
                       flow6: connection(2)
                   },
                   **forwarded(63, 2, len(query6)),
                   **counted("ring")
               })
    refused = {"vip_traffic": {ZERO: traffic(0, 0)}, **counted("ring", "bad real")}
    suite.case("an empty ring entry names real 0, which is none here", ethernet(IPV4, query), "DROP", None, maps,
               refused)
    suite.case("a real outside the table is dropped", ethernet(IPV4, query), "DROP", None, {
        **maps, "ring": {
            udp_slot: u32(512)
        }
    }, refused)
    suite.case("IPv6 cannot go to an IPv4 real", ethernet(IPV6, query6), "DROP", None, {
        **maps, "ring": {
            slot6: u32(1)
        }
    }, counted("ring", "bad real"))
    no_ports = {**maps, "vips": vip(SERVICE, 53, UDP, 0, WITHOUT_SOURCE_PORT)}
    suite.case("hash without the source port", ethernet(IPV4, query), "TX", tunnel4(query), {
        **no_ports, "ring": {
            slot(0, CLIENT, 0, 53, UDP): u32(1)
        }
    }, {"connections": {
        udp_flow: connection(1)
    }})
    forgetful = {**maps, "vips": vip(SERVICE, 53, UDP, 0, WITHOUT_CONNECTIONS), "ring": {udp_slot: u32(1)}}
    suite.case("a VIP without connections remembers nothing", ethernet(IPV4, query), "TX", tunnel4(query), forgetful, {
        "connections": {
            udp_flow: None
        },
        **counted("ring")
    })
    suite.case("and asks nothing", ethernet(IPV4, query), "TX", tunnel4(query), {
        **forgetful, "connections": {
            udp_flow: connection(3)
        }
    }, {"connections": {
        udp_flow: connection(3)
    }})
    suite.case("a VIP number outside the ring is dropped", ethernet(IPV4, query), "DROP", None, {
        **maps, "vips": vip(SERVICE, 53, UDP, 64)
    }, counted("ring", "bad real"))


def by_table(suite):
    """Real known, ICMP, and what is not for a VIP."""
    maps = {
        "vips": {
            **vip(SERVICE, 80, TCP, 3),
            **vip(SERVICE, 0, UDP, 4),
            **vip(SERVICE6, 80, TCP, 7)
        },
        **REALS,
        **HOP
    }
    tcp_flow = flow(CLIENT, SERVICE, 4000, 80, TCP)
    known = {**maps, "connections": {tcp_flow: connection(3)}}
    data = tcp4(CLIENT, SERVICE, 4000, 80, payload=b"GET /")
    suite.case("a known TCP connection stays with its real", ethernet(IPV4, data), "TX",
               tunnel4(data, server="10.20.30.41"), known, {
                   **forwarded(3, 3, len(data)),
                   **counted(), "connections": {
                       tcp_flow: connection(3)
                   }
               })
    query, udp_flow = udp4(CLIENT, SERVICE, 4000, 53, b"query"), flow(CLIENT, SERVICE, 4000, 53, UDP)
    suite.case("a known UDP flow, VIP for all ports", ethernet(IPV4, query), "TX", tunnel4(query), {
        **maps, "connections": {
            udp_flow: connection(1)
        }
    }, {
        **forwarded(4, 1, len(query)),
        **counted()
    })
    expired = {**maps, "connections": {udp_flow: connection(1)}, "ring": {slot(4, CLIENT, 4000, 53, UDP): u32(3)}}
    suite.case("a UDP flow idle for too long goes by the ring", ethernet(IPV4, query), "TX",
               tunnel4(query, server="10.20.30.41"), {
                   **expired, ".rodata": {
                       ZERO: rodata(udp_idle_ns=1)
                   }
               }, {
                   **forwarded(4, 3, len(query)),
                   **counted("ring")
               })
    suite.case("a UDP flow not idle for too long stays", ethernet(IPV4, query), "TX", tunnel4(query), {
        **expired, ".rodata": {
            ZERO: rodata(udp_idle_ns=1 << 63)
        }
    }, {
        **forwarded(4, 1, len(query)),
        **counted()
    })
    suite.case("the first new connection of a second is within any limit", ethernet(IPV4, query), "TX",
               tunnel4(query, server="10.20.30.41"), {
                   **expired, "connections": {},
                   ".rodata": {
                       ZERO: rodata(max_new_per_second=1)
                   }
               }, {
                   "connections": {
                       udp_flow: connection(3)
                   },
                   **counted("ring")
               })
    data6, flow6 = tcp6(CLIENT6, SERVICE6, 4000, 80, payload=b"GET /"), flow(CLIENT6, SERVICE6, 4000, 80, TCP)
    suite.case("a known IPv6 connection", ethernet(IPV6, data6), "TX", tunnel6(data6, last_word6(CLIENT6)), {
        **maps, "connections": {
            flow6: connection(2)
        }
    }, {
        **forwarded(7, 2, len(data6)),
        **counted()
    })

    answer = tcp4(SERVICE, CLIENT, 80, 4000, payload=b"12345678")
    error = ipv4(ROUTER, SERVICE, ICMP, icmp(3, 4, be16(0) + be16(1400), answer[:28]))
    suite.case("an ICMP error follows the connection it is about", ethernet(IPV4, error), "TX",
               tunnel4(error, server="10.20.30.41"), known, {
                   **forwarded(3, 3, len(error)),
                   **counted("icmp error")
               })
    suite.case("an ICMP error about an unknown connection goes by the ring and is not remembered",
               ethernet(IPV4, error), "TX", tunnel4(error), {
                   **maps, "ring": {
                       slot(3, CLIENT, 4000, 80, TCP): u32(1)
                   }
               }, {
                   "connections": {
                       tcp_flow: None
                   },
                   **counted("ring", "tcp unknown", "icmp error")
               })
    answer6 = tcp6(SERVICE6, CLIENT6, 80, 4000, payload=bytes(64))
    error6 = ipv6(CLIENT6, SERVICE6, ICMPV6, icmpv6(CLIENT6, SERVICE6, 2, 0, be32(1280), answer6))
    suite.case("an ICMPv6 error follows its connection", ethernet(IPV6, error6), "TX",
               tunnel6(error6, last_word6(CLIENT6)), {
                   **maps, "connections": {
                       flow6: connection(2)
                   }
               }, {
                   **forwarded(7, 2, len(error6)),
                   **counted("icmp error")
               })

    unreachable6 = ipv6(CLIENT6, SERVICE6, ICMPV6, icmpv6(CLIENT6, SERVICE6, 1, 4, be32(0), answer6))
    suite.case("so does ICMPv6 unreachable", ethernet(IPV6, unreachable6), "TX",
               tunnel6(unreachable6, last_word6(CLIENT6)), {
                   **maps, "connections": {
                       flow6: connection(2)
                   }
               }, counted("icmp error"))
    expired6 = ipv6(CLIENT6, SERVICE6, ICMPV6, icmpv6(CLIENT6, SERVICE6, 3, 0, be32(0), answer6))
    suite.case("other ICMPv6 passes", ethernet(IPV6, expired6), "PASS", None, maps, counted())

    ping = icmp(8, 0, be32(0x12340001), b"ping payload")
    reply = ethernet(IPV4, ipv4(SERVICE, CLIENT, ICMP, icmp(0, 0, be32(0x12340001), b"ping payload")), CLIENT_MAC,
                     CARD_MAC)
    suite.case("an echo request is answered", ethernet(IPV4, ipv4(CLIENT, SERVICE, ICMP, ping, ttl=17)), "TX", reply,
               maps, counted("echo"))
    ping6 = ipv6(CLIENT6, SERVICE6, ICMPV6, icmpv6(CLIENT6, SERVICE6, 128, 0, be32(0x12340001), b"ping"), hop_limit=17)
    reply6 = ipv6(SERVICE6, CLIENT6, ICMPV6, icmpv6(SERVICE6, CLIENT6, 129, 0, be32(0x12340001), b"ping"))
    suite.case("an ICMPv6 echo request is answered", ethernet(IPV6, ping6), "TX",
               ethernet(IPV6, reply6, CLIENT_MAC, CARD_MAC), maps, counted("echo"))

    passing = (("another port", tcp4(CLIENT, SERVICE, 4000, 81)), ("another address", tcp4(CLIENT, SERVER, 4000, 80)),
               ("an ICMP type that is nobody's", ipv4(CLIENT, SERVICE, ICMP,
                                                      icmp(11, 0, bytes(4)))), ("a protocol without ports",
                                                                                ipv4(CLIENT, SERVICE, 47, bytes(8))))
    for name, packet in passing:
        suite.case(f"{name} passes", ethernet(IPV4, packet), "PASS", None, known, counted())
    hop_by_hop = ipv6(CLIENT6, SERVICE6, 0, bytes([TCP, 0, 1, 4, 0, 0, 0, 0]))
    suite.case("IPv6 extension headers pass", ethernet(IPV6, hop_by_hop), "PASS", None, known, counted())
    suite.case("ARP passes", frame(ethernet(ARP, bytes(28))), "PASS", None, known)
    suite.case("the shortest frame passes", SHORTEST, "PASS", None, known)


def malformed(suite):
    maps = {"vips": {**vip(SERVICE, 80, TCP, 3), **vip(SERVICE, 53, UDP, 4)}, **REALS, **HOP}
    tcp_packet, udp_packet = ethernet(IPV4, tcp4(CLIENT, SERVICE, 4000,
                                                 80)), ethernet(IPV4, udp4(CLIENT, SERVICE, 4000, 53))
    tcp6_packet = ethernet(IPV6, tcp6(CLIENT6, SERVICE6, 4000, 80))
    quoted = tcp4(SERVICE, CLIENT, 80, 4000)
    error = ethernet(IPV4, ipv4(ROUTER, SERVICE, ICMP, icmp(3, 4, bytes(4), quoted[:28])))
    optioned = ethernet(IPV4, ipv4(ROUTER, SERVICE, ICMP, icmp(3, 4, bytes(4), b"\x46" + quoted[1:28])))
    error6 = ethernet(IPV6, ipv6(CLIENT6, SERVICE6, ICMPV6, icmpv6(CLIENT6, SERVICE6, 2, 0, bytes(4), bytes(39))))
    dropped = (("IPv4 header cut off", tcp_packet[:33]), ("TCP header cut off", tcp_packet[:53]),
               ("TCP ports cut off", tcp_packet[:41]), ("UDP header cut off", udp_packet[:41]), ("IPv6 header cut off",
                                                                                                 tcp6_packet[:53]),
               ("IPv6 TCP header cut off", tcp6_packet[:73]), ("ICMP header cut off",
                                                               error[:41]), ("quoted IPv4 header cut off", error[:61]),
               ("quoted ports cut off", error[:69]), ("quoted options", optioned), ("quoted IPv6 header cut off",
                                                                                    error6), ("ICMPv6 header cut off",
                                                                                              error6[:61]),
               ("first fragment", ethernet(IPV4, udp4(CLIENT, SERVICE, 4000, 53, fragment=MORE_FRAGMENTS))),
               ("later fragment", ethernet(IPV4, udp4(CLIENT, SERVICE, 4000, 53,
                                                      fragment=185))), ("IPv6 fragment",
                                                                        ethernet(IPV6,
                                                                                 ipv6(CLIENT6, SERVICE6, 44,
                                                                                      bytes(8)))),
               ("options",
                ethernet(IPV4, ipv4(CLIENT, SERVICE, UDP, udp(CLIENT, SERVICE, 4000, 53), options=b"\1\1\1\1"))))
    for name, packet in dropped:
        suite.case(f"{name} drops", packet, "DROP", None, maps, counted())


def katran_lb():
    suite = Suite("katran_lb")
    by_ring(suite)
    by_table(suite)
    malformed(suite)
    return suite
