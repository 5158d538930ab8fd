/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Sends every frame back where it came from: the MAC addresses change places. */
#include "include/packet.h"

SEC("xdp")
int tx(struct xdp_md* ctx) {
  struct ethhdr* eth = packet_start(ctx);

  if (!packet_has(eth, packet_end(ctx))) return XDP_DROP;
  swap_macs(eth);
  return XDP_TX;
}

char _license[] SEC("license") = "Dual BSD/GPL";
