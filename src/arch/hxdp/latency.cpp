// SPDX-License-Identifier: Apache-2.0
#include "arch/hxdp/latency.hpp"

#include <algorithm>

namespace xnic::arch::hxdp {
namespace {

constexpr uint32_t kBloomHashes = 5;

constexpr HelperLatency kTable[] = {
    {"map_lookup_elem", Work::kLookup, 0, "map module"},
    {"map_lookup_percpu_elem", Work::kLookup, 0, "map module"},
    {"map_update_elem", Work::kUpdate, 0, "map module"},
    {"map_delete_elem", Work::kLookup, 0, "map module; the free mark is written behind"},
    {"map_push_elem", Work::kElement, 0, "map module"},
    {"map_pop_elem", Work::kElement, 0, "map module"},
    {"map_peek_elem", Work::kElement, 0, "map module"},
    {"redirect", Work::kFixed, 1, "writes the output register"},
    {"redirect_map", Work::kLookup, 0, "the map's look-up; its result is the output register's"},
    {"xdp_adjust_head", Work::kFixed, 1, "adds to a register of the packet selector; new bytes lie in scratch"},
    {"xdp_adjust_tail", Work::kFixed, 1, "as adjust_head"},
    {"xdp_adjust_meta", Work::kFixed, 1, "as adjust_head"},
    {"xdp_get_buff_len", Work::kFixed, 1, "reads the length register"},
    {"xdp_load_bytes", Work::kFrames, 0, "packet port to stack port"},
    {"xdp_store_bytes", Work::kFrames, 0, "stack port to packet port"},
    {"csum_diff", Work::kFrames, 0, "adder tree over one frame a cycle"},
    {"fib_lookup", Work::kFixed, 17, "route trie (IPv6: 16 steps), then the neighbour's hash"},
    {"check_mtu", Work::kFixed, 1, "compares with the port's register"},
    {"ktime_get_ns", Work::kFixed, 1, "reads a counter"},
    {"ktime_get_boot_ns", Work::kFixed, 1, "reads a counter"},
    {"ktime_get_coarse_ns", Work::kFixed, 1, "reads a counter"},
    {"ktime_get_tai_ns", Work::kFixed, 1, "reads a counter"},
    {"jiffies64", Work::kFixed, 1, "reads a counter"},
    {"get_prandom_u32", Work::kFixed, 1, "reads a shift register with feedback"},
    {"get_smp_processor_id", Work::kFixed, 1, "the core's number"},
    {"get_numa_node_id", Work::kFixed, 1, "a constant"},
    {"spin_lock", Work::kFixed, 1, "a row is atomic, and the card's cores run to the unlock in turn"},
    {"spin_unlock", Work::kFixed, 1, "as spin_lock"},
    {"perf_event_output", Work::kFrames, 0, "record to the host's ring"},
    {"ringbuf_output", Work::kFrames, 0, "record to the ring"},
    {"ringbuf_reserve", Work::kFixed, 1, "adds to the ring's position"},
    {"ringbuf_submit", Work::kFixed, 1, "writes the record's header"},
    {"ringbuf_discard", Work::kFixed, 1, "writes the record's header"},
    {"ringbuf_query", Work::kFixed, 1, "reads the ring's registers"},
    {"ringbuf_reserve_dynptr", Work::kFixed, 1, "as ringbuf_reserve"},
    {"ringbuf_submit_dynptr", Work::kFixed, 1, "as ringbuf_submit"},
    {"ringbuf_discard_dynptr", Work::kFixed, 1, "as ringbuf_discard"},
    {"dynptr_from_mem", Work::kFixed, 1, "writes 16 bytes of stack"},
    {"dynptr_read", Work::kFrames, 0, "port to port"},
    {"dynptr_write", Work::kFrames, 0, "port to port"},
    {"dynptr_data", Work::kFixed, 1, "adds and compares"},
    {"dynptr_from_xdp", Work::kFixed, 1, "writes 16 bytes of stack"},
    {"dynptr_slice", Work::kFrames, 0, "port to port at most"},
    {"dynptr_slice_rdwr", Work::kFrames, 0, "port to port at most"},
    {"tcp_gen_syncookie", Work::kFixed, 32, "two keyed hashes of up to 6 words, SipHash-2-4, one round a cycle"},
    {"tcp_check_syncookie", Work::kFixed, 32, "as tcp_gen_syncookie"},
    {"tcp_raw_gen_syncookie_ipv4", Work::kFixed, 20, "two keyed hashes of 3 words: 2 x (3 x 2 + 4) rounds"},
    {"tcp_raw_gen_syncookie_ipv6", Work::kFixed, 32, "two keyed hashes of 6 words: 2 x (6 x 2 + 4) rounds"},
    {"tcp_raw_check_syncookie_ipv4", Work::kFixed, 20, "as tcp_raw_gen_syncookie_ipv4"},
    {"tcp_raw_check_syncookie_ipv6", Work::kFixed, 32, "as tcp_raw_gen_syncookie_ipv6"},
    {"sk_lookup_tcp", Work::kFixed, 1, "hash of the addresses"},
    {"sk_lookup_udp", Work::kFixed, 1, "hash of the addresses"},
    {"skc_lookup_tcp", Work::kFixed, 1, "hash of the addresses"},
    {"sk_release", Work::kFixed, 1, "nothing to do"},
    {"strtol", Work::kCharacters, 0, "digit by digit"},
    {"strtoul", Work::kCharacters, 0, "digit by digit"},
    {"strncmp", Work::kFrames, 0, "comparator over one frame a cycle"},
    {"snprintf", Work::kCharacters, 0, "character by character"},
    {"trace_printk", Work::kCharacters, 0, "character by character"},
    {"trace_vprintk", Work::kCharacters, 0, "character by character"},
    {"probe_read_kernel", Work::kFrames, 0, "port to port"},
    {"probe_read_kernel_str", Work::kCharacters, 0, "up to the zero"},
    {"timer_init", Work::kFixed, 1, "writes the timer's word"},
    {"timer_start", Work::kFixed, 1, "writes the timer's word"},
    {"timer_cancel", Work::kFixed, 1, "writes the timer's word"},
};

const HelperLatency* find(ebpf::HelperId helper) {
  const ebpf::HelperSignature* signature = ebpf::find_helper(helper);
  if (signature == nullptr) return nullptr;
  const auto* at = std::ranges::find(kTable, signature->name, &HelperLatency::helper);
  return at == std::end(kTable) ? nullptr : at;
}

uint32_t frames(uint32_t bytes, const Parameters& p) {
  return std::max<uint32_t>(1, (bytes + p.frame_bytes - 1) / p.frame_bytes);
}

// A key of 32 bytes is hashed in a cycle (the paper's figure, whatever the bus).
uint32_t hash_cycles(uint32_t key_bytes) { return std::max<uint32_t>(1, (key_bytes + 31) / 32); }

CallCost lookup_cost(const CallShape& s) {
  switch (s.map) {
    case ebpf::kMapLpmTrie: {
      // Eight bits a step; the prefix length word (4 bytes) is no step.
      const uint32_t steps = s.key_bytes > 4 ? s.key_bytes - 4 : 1;
      return {steps, steps};
    }
    case ebpf::kMapArrayOfMaps:  // the outer row, then the inner map's descriptor
      return {2, 2};
    case ebpf::kMapHashOfMaps:
      return {hash_cycles(s.key_bytes) + 1, 3};
    case ebpf::kMapHash:
    case ebpf::kMapPercpuHash:
    case ebpf::kMapLruHash:  // the stamp of use is written behind the result
    case ebpf::kMapLruPercpuHash:
    case ebpf::kMapDevmapHash:
      return {hash_cycles(s.key_bytes), 2};  // bucket, element
    default:                                 // arrays: the index is the address
      return {1, s.map == 0 ? 0u : 1u};
  }
}

}  // namespace

std::span<const HelperLatency> helper_latencies() { return kTable; }

bool has_latency(ebpf::HelperId helper) { return find(helper) != nullptr; }

CallCost call_cost(const CallShape& shape, const Parameters& p) {
  const HelperLatency& line = *find(shape.helper);
  const uint32_t on_map = shape.map == 0 ? 0 : 1;
  switch (line.work) {
    case Work::kFixed:
      return {line.cycles, on_map};
    case Work::kFrames:
      return {frames(shape.bytes, p), on_map};
    case Work::kCharacters:
      return {std::max<uint32_t>(1, shape.bytes), on_map};
    case Work::kLookup:
      return lookup_cost(shape);
    case Work::kUpdate: {
      CallCost cost = lookup_cost(shape);
      cost.cycles += frames(shape.value_bytes, p) - 1;
      return cost;
    }
    case Work::kElement:
      if (shape.map == ebpf::kMapBloomFilter) {
        const uint32_t hashes = shape.hashes == 0 ? kBloomHashes : shape.hashes;
        return {hashes, hashes};
      }
      return {frames(shape.value_bytes, p), 1};
  }
  return {};
}

}  // namespace xnic::arch::hxdp
