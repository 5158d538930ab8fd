// SPDX-License-Identifier: Apache-2.0
// What a helper call reads and writes, from its signature: memory arguments give ranges, the rest follows from what the
// helper is for. Anything not understood reads and writes everything, which is always right.
#include "compile/opt/calls.hpp"

#include "arch/ebpf/helpers.hpp"

namespace xnic::compile::opt {

using namespace arch::ebpf;

namespace {

enum Id : HelperId {
  kLookup = 1,
  kUpdate = 2,
  kDelete = 3,
  kCpu = 8,
  kCsumDiff = 28,
  kNode = 42,
  kPush = 87,
  kPop = 88,
  kPeek = 89,
  kBuffLen = 188,
  kLoadBytes = 189,
  kLookupPercpu = 195,
};

bool plain_lookup(MapType type) {
  return type == kMapHash || type == kMapArray || type == kMapPercpuHash || type == kMapPercpuArray ||
         type == kMapLpmTrie;
}

struct Describer {
  Graph& graph;
  CallInfo& info;
  int64_t map = -1;

  const MapSpec* spec() const { return map < 0 ? nullptr : &graph.program().maps[size_t(map)]; }
  void everything() {
    info.reads_all = true;
    info.writes.push_back({});
    info.writes.push_back({.region = Space::kMap});
  }
  void memory(NodeId at, uint32_t bytes, bool reads, bool writes) {
    Loc loc = graph.locate(at, 0, bytes);
    if (reads) info.reads.push_back(loc);
    if (writes) info.writes.push_back(loc);
  }
  // Size of the memory argument i: the constant size after it, or 0 for "any".
  uint32_t size_after(size_t i) const {
    if (i + 1 >= info.args.size() || info.args[i + 1].node == kNone) return 0;
    const NodeId size = info.args[i + 1].node;
    return graph.is_const(size) && graph.const_of(size) < (1u << 20) ? uint32_t(graph.const_of(size)) : 0;
  }
};

}  // namespace

void describe_call(Graph& graph, CallInfo& info) {
  const HelperSignature* signature = find_helper(info.helper);
  Describer d{graph, info};
  if (signature == nullptr) return d.everything();
  for (size_t i = 0; i < 5; i++) {
    const NodeId arg = info.args[i].node;
    if (arg == kNone) continue;
    const Node& n = graph.nodes[arg];
    const bool null = graph.is_const(arg) && graph.const_of(arg) == 0;
    switch (signature->args[i]) {
      case ArgType::kMap:
        if (n.kind == NodeKind::kAddress && n.space == Space::kMap) d.map = n.map;
        break;
      case ArgType::kMapKey:
        d.memory(arg, d.spec() ? d.spec()->key_size : 0, true, false);
        break;
      case ArgType::kMapValue:
        d.memory(arg, d.spec() ? d.spec()->value_size : 0, true, false);
        break;
      case ArgType::kMapValueUninit:
        d.memory(arg, d.spec() ? d.spec()->value_size : 0, false, true);
        break;
      case ArgType::kMemory:
      case ArgType::kMemoryOrNull:
        if (!null) d.memory(arg, d.size_after(i), true, false);
        break;
      case ArgType::kMemoryUninit:
      case ArgType::kMemoryWritable:
      case ArgType::kMemoryWritableOrNull:
        if (!null) d.memory(arg, d.size_after(i), true, true);
        break;
      case ArgType::kLongOut:
        d.memory(arg, 8, true, true);
        break;
      case ArgType::kIntOut:
        d.memory(arg, 4, true, true);
        break;
      case ArgType::kFixedMemory:
        d.memory(arg, signature->fixed_sizes[i], true, false);
        break;
      case ArgType::kAnything:
      case ArgType::kContext:
      case ArgType::kSize:
      case ArgType::kSizeOrZero:
      case ArgType::kScalar:
        break;
      default:
        d.everything();
    }
  }
  if (signature->changes_packet) {
    info.writes.push_back({.region = Space::kPacketEnd});
    info.writes.push_back({.region = Space::kPacket});
  }
  if (signature->writes_packet) info.writes.push_back({.region = Space::kPacket});
  info.void_result = signature->ret == RetType::kVoid;
  switch (info.helper) {
    case kLookup:
      info.reads.push_back({.region = Space::kMap, .map = d.map});
      info.pure = d.spec() != nullptr && plain_lookup(d.spec()->type);
      if (!info.pure) info.writes.push_back({.region = Space::kMap, .map = d.map});
      return;
    case kUpdate:
    case kDelete:
    case kPush:
    case kPop:
      info.writes.push_back({.region = Space::kMap, .map = d.map});
      info.writes.push_back({.region = Space::kMapValue, .map = d.map});
      return;
    case kPeek:
    case kLookupPercpu:
      return;
    case kCpu:
    case kNode:
    case kCsumDiff:
      info.pure = true;
      return;
    case kBuffLen:
      info.reads.push_back({.region = Space::kPacketEnd});
      info.pure = true;
      return;
    case kLoadBytes:
      info.reads.push_back({.region = Space::kPacket});
      return;
    case 5:
    case 7:
    case 23:
    case 44:
    case 51:
    case 54:
    case 65:
    case 118:
    case 125:
    case 160:
    case 208:
      return;  // clock, random numbers, redirects, packet bounds: no memory but what the signature says
    default:
      d.everything();
  }
}

}  // namespace xnic::compile::opt
