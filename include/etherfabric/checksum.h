/* SPDX-License-Identifier: Apache-2.0 */
/* Checksums of IP, TCP, UDP and ICMPv6. Results are in network byte order, ready for the header's field; what the field
 * holds already does not count. `iov` is what follows the transport header. */
#ifndef __EFAB_CHECKSUM_H__
#define __EFAB_CHECKSUM_H__

#include <etherfabric/base.h>

#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#ifdef __cplusplus
extern "C" {
#endif

struct iphdr;
struct ipv6hdr;
struct tcphdr;
struct udphdr;

extern uint32_t ef_ip_checksum(const struct iphdr* ip);

/* A sum of zero is given as 0xffff (RFC 768). */
extern uint32_t ef_udp_checksum(const struct iphdr* ip, const struct udphdr* udp, const struct iovec* iov, int iovlen);
extern uint32_t ef_udp_checksum_ip6(const struct ipv6hdr* ip6, const struct udphdr* udp, const struct iovec* iov,
                                    int iovlen);
/* `af`: AF_INET or AF_INET6, which says what `ipx` is. */
extern uint32_t ef_udp_checksum_ipx(int af, const void* ipx, const struct udphdr* udp, const struct iovec* iov,
                                    int iovlen);

/* TCP options count: the header is as long as its own field says. */
extern uint32_t ef_tcp_checksum(const struct iphdr* ip, const struct tcphdr* tcp, const struct iovec* iov, int iovlen);
extern uint32_t ef_tcp_checksum_ip6(const struct ipv6hdr* ip6, const struct tcphdr* tcp, const struct iovec* iov,
                                    int iovlen);
extern uint32_t ef_tcp_checksum_ipx(int af, const void* ipx, const struct tcphdr* tcp, const struct iovec* iov,
                                    int iovlen);

extern uint32_t ef_icmpv6_checksum(const struct ipv6hdr* ip6, const void* icmp, const struct iovec* iov, int iovlen);

/* True when the field holds the right sum; a UDP checksum of zero over IPv4 is right, since it says that there is
 * none. */
extern bool ef_ip_checksum_is_correct(const struct iphdr* ip);
extern bool ef_udp_checksum_is_correct(const struct iphdr* ip, const struct udphdr* udp, const struct iovec* iov,
                                       int iovlen);
extern bool ef_udp_checksum_ip6_is_correct(const struct ipv6hdr* ip6, const struct udphdr* udp, const struct iovec* iov,
                                           int iovlen);
extern bool ef_udp_checksum_ipx_is_correct(int af, const void* ipx, const struct udphdr* udp, const struct iovec* iov,
                                           int iovlen);
extern bool ef_tcp_checksum_is_correct(const struct iphdr* ip, const struct tcphdr* tcp, const struct iovec* iov,
                                       int iovlen);
extern bool ef_tcp_checksum_ip6_is_correct(const struct ipv6hdr* ip6, const struct tcphdr* tcp, const struct iovec* iov,
                                           int iovlen);
extern bool ef_tcp_checksum_ipx_is_correct(int af, const void* ipx, const struct tcphdr* tcp, const struct iovec* iov,
                                           int iovlen);

/* The same for what lies in one buffer of `len` bytes. */
ef_vi_inline uint32_t ef_udp_checksum_ipx_buf(int af, const void* ipx, const struct udphdr* udp, const void* buf,
                                              size_t len) {
  struct iovec iov;
  iov.iov_base = (void*)buf;
  iov.iov_len = len;
  return ef_udp_checksum_ipx(af, ipx, udp, &iov, 1);
}

ef_vi_inline uint32_t ef_tcp_checksum_ipx_buf(int af, const void* ipx, const struct tcphdr* tcp, const void* buf,
                                              size_t len) {
  struct iovec iov;
  iov.iov_base = (void*)buf;
  iov.iov_len = len;
  return ef_tcp_checksum_ipx(af, ipx, tcp, &iov, 1);
}

#ifdef __cplusplus
}
#endif

#endif /* __EFAB_CHECKSUM_H__ */
