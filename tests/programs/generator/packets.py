# SPDX-License-Identifier: Apache-2.0
"""Packets from fields, for the expected side of the program tests.

Nothing here shares code with the programs: an output packet is built from scratch out of the fields it should
have, with checksums computed in full, and never by changing the input packet.

All functions return bytes."""

import ipaddress
import struct

# Different in every byte, so that no mixture of them looks right.
CLIENT_MAC = bytes.fromhex("02112233aa01")
CARD_MAC = bytes.fromhex("06445566bb02")

IPV4, IPV6, ARP, VLAN, QINQ = 0x0800, 0x86DD, 0x0806, 0x8100, 0x88A8
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
DONT_FRAGMENT, MORE_FRAGMENTS = 0x4000, 0x2000
FIN, SYN, RST, ACK = 1, 2, 4, 16


def address(text):
    """The bytes of an IPv4 or IPv6 address."""
    return ipaddress.ip_address(text).packed


def u16(value):
    return struct.pack("<H", value)


def u32(value):
    return struct.pack("<I", value)


def u64(value):
    return struct.pack("<Q", value)


def be16(value):
    return struct.pack(">H", value)


def be32(value):
    return struct.pack(">I", value)


def checksum(data):
    """RFC 1071 over all of data; a field that lies in it must be zero."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def pseudo_header(source, destination, protocol, length):
    source, destination = address(source), address(destination)
    if len(source) == 4:
        return source + destination + struct.pack(">BBH", 0, protocol, length)
    return source + destination + struct.pack(">IHBB", length, 0, 0, protocol)


def ethernet(ethertype, payload=b"", destination=CARD_MAC, source=CLIENT_MAC):
    return destination + source + be16(ethertype) + payload


def tag(ethertype, payload, vlan=100):
    """An 802.1Q tag behind the Ethertype that announces it."""
    return be16(vlan) + be16(ethertype) + payload


def ipv4(source,
         destination,
         protocol,
         payload=b"",
         ttl=64,
         tos=0,
         identification=0,
         fragment=0,
         options=b"",
         length=None):
    words = 5 + len(options) // 4
    length = 20 + len(options) + len(payload) if length is None else length

    def header(check):
        return struct.pack(">BBHHHBBH", 0x40 | words, tos, length, identification, fragment, ttl, protocol, check)

    addresses = address(source) + address(destination) + options
    return header(checksum(header(0) + addresses)) + addresses + payload


def ipv6(source, destination, next_header, payload=b"", hop_limit=64, traffic_class=0, flow_label=0):
    first = 6 << 28 | traffic_class << 20 | flow_label
    return struct.pack(">IHBB", first, len(payload), next_header,
                       hop_limit) + address(source) + address(destination) + payload


def udp(source, destination, source_port, destination_port, payload=b"", without_checksum=False):
    length = 8 + len(payload)
    segment = struct.pack(">HHHH", source_port, destination_port, length, 0) + payload
    check = checksum(pseudo_header(source, destination, UDP, length) + segment) or 0xFFFF
    if without_checksum:
        check = 0
    return segment[:6] + be16(check) + payload


def tcp(source,
        destination,
        source_port,
        destination_port,
        flags=ACK,
        sequence=1000,
        acknowledgement=0,
        options=b"",
        payload=b"",
        window=65535):
    words = 5 + len(options) // 4
    segment = struct.pack(">HHIIBBHHH", source_port, destination_port, sequence, acknowledgement, words << 4, flags,
                          window, 0, 0) + options + payload
    check = checksum(pseudo_header(source, destination, TCP, len(segment)) + segment)
    return segment[:16] + be16(check) + segment[18:]


def icmp(kind, code, rest, payload=b""):
    """ICMP for IPv4; `rest` is the second word of the header."""
    message = struct.pack(">BBH", kind, code, 0) + rest + payload
    return message[:2] + be16(checksum(message)) + message[4:]


def icmpv6(source, destination, kind, code, rest, payload=b""):
    message = struct.pack(">BBH", kind, code, 0) + rest + payload
    return message[:2] + be16(
        checksum(pseudo_header(source, destination, ICMPV6, len(message)) + message)) + message[4:]


def udp4(source, destination, source_port, destination_port, payload=b"", without_checksum=False, **fields):
    """An IPv4 packet with a UDP datagram."""
    return ipv4(source, destination, UDP,
                udp(source, destination, source_port, destination_port, payload, without_checksum), **fields)


def tcp4(source, destination, source_port, destination_port, ip_fields=None, **fields):
    """An IPv4 packet with a TCP segment."""
    return ipv4(source, destination, TCP, tcp(source, destination, source_port, destination_port, **fields),
                **(ip_fields or {}))


def udp6(source, destination, source_port, destination_port, payload=b"", **fields):
    return ipv6(source, destination, UDP, udp(source, destination, source_port, destination_port, payload), **fields)


def tcp6(source, destination, source_port, destination_port, **fields):
    return ipv6(source, destination, TCP, tcp(source, destination, source_port, destination_port, **fields))
