// SPDX-License-Identifier: Apache-2.0
// Memory disambiguation: where a pointer leads, which accesses can touch the same bytes, and the last effect on a path
// that may have changed what a load reads.
#include <algorithm>

#include "compile/opt/ir.hpp"

namespace xnic::compile::opt {

bool may_alias(const Loc& a, const Loc& b) {
  if (a.region == Space::kRegister || b.region == Space::kRegister) {
    // Unknown pointers reach packet, stack and values; never the context or the pseudo-memories.
    const Space other = a.region == Space::kRegister ? b.region : a.region;
    return other != Space::kContext && other != Space::kMap && other != Space::kPacketEnd;
  }
  if (a.region != b.region) return false;
  if (a.map != b.map && a.map >= 0 && b.map >= 0) return false;
  if (a.bytes == 0 || b.bytes == 0) return true;
  if (a.mode != b.mode || a.base != b.base) return true;
  if (a.mode == Space::kMapValue && a.map != b.map) return true;
  return a.off < b.off + int64_t(b.bytes) && b.off < a.off + int64_t(a.bytes);
}

Space Graph::provenance(NodeId pointer, int64_t& map) const {
  map = -1;
  const Node& n = nodes[pointer];
  switch (n.kind) {
    case NodeKind::kAddress:
      map = n.map;
      if (n.space == Space::kPacketMeta || n.space == Space::kPacketEnd) return Space::kPacket;
      return n.space == Space::kPacketBytes || n.space == Space::kMap ? Space::kRegister : n.space;
    case NodeKind::kCall:
    case NodeKind::kResult:
    case NodeKind::kPhi:
      map = n.map;
      return n.map >= 0    ? Space::kMapValue
             : n.map == -2 ? Space::kPacket
             : n.map == -3 ? Space::kStack
                           : Space::kRegister;
    case NodeKind::kAlu:
      map = n.found_map;
      return n.found_space;
    default:
      return Space::kRegister;
  }
}

Loc Graph::locate(NodeId pointer, int64_t offset, uint32_t bytes) const {
  Loc loc{.base = pointer, .off = offset, .bytes = bytes};
  // Constants of address arithmetic go to the offset field.
  while (nodes[loc.base].kind == NodeKind::kAlu) {
    const Node& n = nodes[loc.base];
    if (n.op != AluOp::kAdd || n.width != Width::k64 || !is_const(n.b)) break;
    const int64_t sum = loc.off + int64_t(const_of(n.b));
    if (sum != int16_t(sum)) break;
    loc.off = sum;
    loc.base = n.a;
  }
  loc.region = provenance(loc.base, loc.map);
  const Node& n = nodes[loc.base];
  if (n.kind == NodeKind::kAddress) {
    const int64_t at = int64_t(n.value) + loc.off;
    const bool direct = n.space == Space::kPacket || n.space == Space::kStack || n.space == Space::kContext ||
                        n.space == Space::kMapValue;
    if (direct && at >= 0 && at <= 0xffff) {
      loc.mode = n.space;
      loc.base = kNone;
      loc.off = at;
    }
  }
  return loc;
}

bool Graph::writes(const Effect& effect, const Loc& loc) const {
  switch (effect.kind) {
    case EffectKind::kStore:
    case EffectKind::kAdd:
    case EffectKind::kAtomic:
      return !effect.dead && may_alias(effect.loc, loc);
    case EffectKind::kCall: {
      const auto& list = calls[effect.call].writes;
      return std::any_of(list.begin(), list.end(), [&](const Loc& w) { return may_alias(w, loc); });
    }
    default:
      return true;  // entry and merges end every search
  }
}

EffectId Graph::last_alias(EffectId from, const Loc& loc) const {
  while (!writes(effects[from], loc)) from = effects[from].prev;
  return from;
}

uint8_t Graph::used_bits(NodeId id) const {
  const Node& n = nodes[id];
  const auto bits_of = [](uint64_t v) { return uint8_t(v == 0 ? 0 : 64 - __builtin_clzll(v)); };
  switch (n.kind) {
    case NodeKind::kConst:
      return bits_of(n.value);
    case NodeKind::kLoad:
      return n.flag ? 64 : uint8_t(n.loc.bytes * 8);
    case NodeKind::kSwap:
      return n.bits;
    case NodeKind::kFold:
      return 16;
    case NodeKind::kAddress:  // the packet's length
      return n.space == Space::kPacketBytes && n.value == 0 ? kPacketBytesBits : 64;
    case NodeKind::kAlu:
      return n.found_bits;
    default:
      return 64;
  }
}

uint8_t Graph::find_bits(const Node& n) const {
  const uint8_t width = n.width == Width::k64 ? 64 : 32;
  const uint8_t a = std::min(used_bits(n.a), width);
  const uint8_t b = std::min(used_bits(n.b), width);
  switch (n.op) {
    case AluOp::kAnd:
      return std::min(a, b);
    case AluOp::kOr:
    case AluOp::kXor:
      return std::max(a, b);
    case AluOp::kAdd:
      return std::min<int>(width, std::max(a, b) + 1);
    case AluOp::kMul:
      return std::min<int>(width, a + b);
    case AluOp::kLsh:
      return is_const(n.b) ? uint8_t(std::min<uint64_t>(width, a + (const_of(n.b) & (width - 1)))) : width;
    case AluOp::kRsh:
      return is_const(n.b) ? uint8_t(std::max<int64_t>(0, a - int64_t(const_of(n.b) & (width - 1)))) : a;
    case AluOp::kDiv:
    case AluOp::kMod:
      return a;
    default:
      return width;
  }
}

}  // namespace xnic::compile::opt
