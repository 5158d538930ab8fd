# SPDX-License-Identifier: Apache-2.0
"""Cases of the programs without parsing beyond Ethernet and IP, and of the counters: one function per program."""

from packets import *
from suite import Suite

LAN, WAN = "192.168.1.10", "203.0.113.7"
LAN6, WAN6 = "fd00::10", "2001:db8::7"
ZERO = u32(0)
SHORTEST = ethernet(0x88B5)  # 14 bytes: a local experimental Ethertype and nothing else


def frame(packet):
    """A minimal Ethernet frame: padded to 60 bytes."""
    return packet + bytes(60 - len(packet)) if len(packet) < 60 else packet


def swapped(packet):
    return packet[6:12] + packet[0:6] + packet[12:]


SAMPLE = frame(ethernet(IPV4, udp4(LAN, WAN, 4000, 53, b"query")))


def drop():
    suite = Suite("drop")
    suite.case("drops a datagram", SAMPLE, "DROP")
    suite.case("drops the shortest frame", SHORTEST, "DROP")
    return suite


def pass_all():
    suite = Suite("pass")
    suite.case("passes a datagram unchanged", SAMPLE, "PASS")
    suite.case("passes the shortest frame", SHORTEST, "PASS")
    return suite


def tx():
    suite = Suite("tx")
    suite.case("returns a datagram with swapped MAC addresses", SAMPLE, "TX", swapped(SAMPLE))
    suite.case("returns a frame that is only a header", SHORTEST, "TX", swapped(SHORTEST))
    long = ethernet(IPV6, udp6(LAN6, WAN6, 1, 2, bytes(range(256)) * 5))
    suite.case("returns a long frame, nothing but the addresses changed", long, "TX", swapped(long))
    return suite


def redirect():
    suite = Suite("redirect")
    suite.case("sends to interface 1 by default", SAMPLE, "REDIRECT")
    suite.case("sends the shortest frame", SHORTEST, "REDIRECT")
    # The helper only records the target; whether the interface exists is found out when the packet leaves.
    suite.case("takes the interface from its read-only data", SAMPLE, "REDIRECT", maps={".rodata": {ZERO: u32(7)}})
    return suite


def redirect_map():
    suite = Suite("redirect_map")
    suite.case("swaps, counts and redirects", SAMPLE, "REDIRECT", swapped(SAMPLE), {"tx_port": {
        ZERO: u32(1)
    }}, {"packets": {
        ZERO: u64(1)
    }})
    suite.case("adds to the count", SHORTEST, "REDIRECT", swapped(SHORTEST), {
        "tx_port": {
            ZERO: u32(1)
        },
        "packets": {
            ZERO: u64(0xFFFFFFFF)
        }
    }, {"packets": {
        ZERO: u64(0x100000000)
    }})
    suite.case("aborts when the port is empty, after the swap",
               SAMPLE,
               "ABORTED",
               swapped(SAMPLE),
               expect_maps={"packets": {
                   ZERO: u64(1)
               }})
    return suite


def protocol_cases(suite, verdict_of):
    """What xdp1 and xdp2 share. verdict_of(protocol) gives verdict and whether the MAC addresses change places."""

    def add(name, packet, protocol):
        verdict, swaps = verdict_of(protocol)
        counts = {} if protocol is None else {"packets_by_protocol": {u32(protocol): u64(1)}}
        others = [other for other in (0, TCP, UDP, ICMPV6) if other != protocol]
        counts.setdefault("packets_by_protocol", {}).update({u32(other): u64(0) for other in others})
        suite.case(name, packet, verdict, swapped(packet) if swaps else None, expect_maps=counts)

    add("IPv4 UDP", SAMPLE, UDP)
    add("IPv4 TCP", ethernet(IPV4, tcp4(LAN, WAN, 1, 2)), TCP)
    add("IPv6 UDP", ethernet(IPV6, udp6(LAN6, WAN6, 1, 2)), UDP)
    add("IPv6 ICMP", ethernet(IPV6, ipv6(LAN6, WAN6, ICMPV6, icmpv6(LAN6, WAN6, 128, 0, be32(1)))), ICMPV6)
    add("one VLAN tag", ethernet(VLAN, tag(IPV4, udp4(LAN, WAN, 1, 2))), UDP)
    add("two VLAN tags", ethernet(QINQ, tag(VLAN, tag(IPV6, udp6(LAN6, WAN6, 1, 2)))), UDP)
    add("three VLAN tags are one too many", ethernet(QINQ, tag(VLAN, tag(VLAN, tag(IPV4, udp4(LAN, WAN, 1, 2))))), 0)
    add("not IP", frame(ethernet(ARP, bytes(28))), 0)
    add("only an Ethernet header, not IP", SHORTEST, 0)
    add("IPv4 header cut off counts as no protocol", ethernet(IPV4, udp4(LAN, WAN, 1, 2)[:19]), 0)
    add("IPv4 header and no more", ethernet(IPV4, ipv4(LAN, WAN, UDP)), UDP)
    add("IPv6 header cut off counts as no protocol", ethernet(IPV6, ipv6(LAN6, WAN6, UDP)[:39]), 0)
    add("IPv6 header and no more", ethernet(IPV6, ipv6(LAN6, WAN6, UDP)), UDP)
    add("VLAN tag cut off is not counted", ethernet(VLAN, be16(100) + b"\x08"), None)
    add("second VLAN tag cut off is not counted", ethernet(QINQ, tag(VLAN, b"\0")), None)
    highest = ethernet(IPV4, ipv4(LAN, WAN, 255, b"data"))
    add("the highest protocol number", highest, 255)


def xdp1():
    suite = Suite("xdp1")
    protocol_cases(suite, lambda protocol: ("DROP", False))
    return suite


def xdp2():
    suite = Suite("xdp2")
    protocol_cases(suite, lambda protocol: ("TX", True) if protocol == UDP else ("DROP", False))
    return suite


def rxq_info():
    suite = Suite("rxq_info")
    actions = {"ABORTED": 0, "DROP": 1, "PASS": 2, "TX": 3}
    read, swap = 1, 2

    def config(action, ifindex=1, options=0):
        return {"configuration": {ZERO: u32(actions[action]) + u32(ifindex) + u32(options)}}

    def record(processed, issues=0):
        return u64(processed) + u64(issues)

    counted = {"total": {ZERO: record(1)}, "by_queue": {ZERO: record(1), u32(1): record(0), u32(64): record(0)}}
    for action in ("DROP", "PASS", "TX"):
        suite.case(f"does as configured: {action}", SAMPLE, action, maps=config(action), expect_maps=counted)
    suite.case("swaps MAC addresses when asked", SAMPLE, "TX", swapped(SAMPLE), config("TX", options=swap), counted)
    suite.case("reads without changing", SAMPLE, "TX", None, config("TX", options=read), counted)
    suite.case("swaps on the shortest frame", SHORTEST, "PASS", swapped(SHORTEST), config("PASS", options=read | swap),
               counted)
    length_field = frame(ethernet(0x05FF, bytes(46)))
    suite.case("aborts an 802.3 length frame it has to read", length_field, "ABORTED", None, config("TX", options=swap),
               counted)
    suite.case("aborts it even if it only reads", length_field, "ABORTED", None, config("TX", options=read), counted)
    lowest = frame(ethernet(0x0600, bytes(46)))
    suite.case("the lowest Ethertype is one", lowest, "TX", swapped(lowest), config("TX", options=swap), counted)
    suite.case("takes an 802.3 length frame it need not read", length_field, "DROP", None, config("DROP"), counted)
    suite.case("aborts on the wrong interface and counts an issue", SAMPLE, "ABORTED", None, config("DROP", ifindex=9),
               {
                   "total": {
                       ZERO: record(1, 1)
                   },
                   "by_queue": {
                       ZERO: record(0)
                   }
               })
    suite.case("aborts unconfigured, for no interface has index 0",
               SAMPLE,
               "ABORTED",
               expect_maps={"total": {
                   ZERO: record(1, 1)
               }})
    suite.case("another interface and queue",
               SAMPLE,
               "DROP",
               None,
               config("DROP", ifindex=3), {
                   "total": {
                       ZERO: record(1)
                   },
                   "by_queue": {
                       ZERO: record(0),
                       u32(2): record(1)
                   }
               },
               ingress=3,
               queue=2)
    suite.case("a queue beyond the table shares the last entry",
               SAMPLE,
               "DROP",
               None,
               config("DROP", ifindex=3), {
                   "total": {
                       ZERO: record(1)
                   },
                   "by_queue": {
                       u32(63): record(0),
                       u32(64): record(1, 1)
                   }
               },
               ingress=3,
               queue=70)
    return suite
