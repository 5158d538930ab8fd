// SPDX-License-Identifier: Apache-2.0
// Checked mode: is an access inside memory that the program may touch, and is a register inside the verifier's facts?
// Invariant: only reads the machine, but for recording the first violation.
#include <fmt/core.h>

#include <algorithm>

#include "arch/ebpf/helpers.hpp"
#include "exec/interp/machine.hpp"

namespace xnic::exec::interp {
namespace {

using arch::ebpf::ArgType;
using arch::ebpf::RegFact;
using arch::ebpf::RegType;

bool inside(uint64_t address, uint64_t bytes, uint64_t first, uint64_t end) {
  return address >= first && address <= end && bytes <= end - address;
}
uint64_t number(const void* pointer) { return reinterpret_cast<uint64_t>(pointer); }

uint64_t frame_pointer(const Machine& m, uint32_t frame) { return number(m.stacks[frame] + arch::ebpf::kStackBytes); }

bool in_stack(const Machine& m, uint64_t address, uint64_t bytes) {
  for (uint32_t frame = 0; frame <= m.depth; ++frame) {
    if (inside(address, bytes, number(m.stacks[frame]), frame_pointer(m, frame))) return true;
  }
  return false;
}

// Of ring buffers only what is lent at the moment may be touched.
bool map_allows(const maps::Map& map, uint64_t address, uint64_t bytes, Access access) {
  if (map.spec().type == arch::ebpf::kMapRingbuf || map.spec().type == arch::ebpf::kMapUserRingbuf) return false;
  if (!map.owns(reinterpret_cast<const void*>(address), bytes)) return false;
  const uint32_t forbidden = access == Access::kWrite ? arch::ebpf::kRdonlyProg : arch::ebpf::kWronlyProg;
  return (map.spec().flags & forbidden) == 0;
}

bool in_maps_of(const LoadedProgram* loaded, uint64_t address, uint64_t bytes, Access access) {
  if (loaded == nullptr) return false;
  for (const auto& map : loaded->maps) {
    if (map_allows(*map, address, bytes, access)) return true;
  }
  return false;
}

bool in_maps(const Machine& m, uint64_t address, uint64_t bytes, Access access) {
  if (in_maps_of(m.code->loaded, address, bytes, access)) return true;
  for (const auto& map : m.helper.held_maps) {
    if (map_allows(*map, address, bytes, access)) return true;
  }
  for (uint32_t depth = 1; depth <= m.depth; ++depth) {
    const Code* caller = m.frames[depth].caller_code;
    if (caller != m.code && in_maps_of(caller->loaded, address, bytes, access)) return true;
  }
  return false;
}

bool in_lent(const Machine& m, uint64_t address, uint64_t bytes) {
  for (const helpers::LentMemory& memory : m.helper.lent) {
    if (inside(address, bytes, memory.address, memory.address + memory.bytes)) return true;
  }
  return false;
}

bool in_packet(const Machine& m, uint64_t address, uint64_t bytes) {
  const packet::Packet& packet = *m.helper.packet;
  return inside(address, bytes, number(packet.data_meta), number(packet.data_end));
}

// The place in the words of the program: relative to the nearest thing it knows.
std::string describe(const Machine& m, uint64_t address) {
  const auto offset = [&](uint64_t base) { return static_cast<int64_t>(address - base); };
  const packet::Packet& packet = *m.helper.packet;
  for (uint32_t frame = 0; frame <= m.depth; ++frame) {
    if (offset(frame_pointer(m, frame)) >= -1024 && offset(frame_pointer(m, frame)) < 64)
      return fmt::format("fp{:+} of frame {}", offset(frame_pointer(m, frame)), frame);
  }
  if (inside(address, 0, m.context, m.context + arch::ebpf::kContextBytes))
    return fmt::format("ctx{:+}", offset(m.context));
  if (inside(address, 0, number(packet.frame()), number(packet.frame_end())))
    return fmt::format("data{:+} (data_end is data+{})", offset(number(packet.data)), packet.data_end - packet.data);
  if (m.code->loaded != nullptr) {
    for (size_t i = 0; i < m.code->loaded->maps.size(); ++i) {
      if (m.code->loaded->maps[i]->owns(reinterpret_cast<const void*>(address), 1))
        return fmt::format("a value of map {}", i);
    }
  }
  return address < 4096 ? fmt::format("null+{}", address) : fmt::format("{:#x}", address);
}

bool violated(Machine& m, const Op* op, Violation::Kind kind, uint64_t address, uint64_t bytes, std::string what) {
  if (!m.violation) {
    const uint32_t id = m.code->loaded == nullptr ? 0 : m.code->loaded->id;
    m.violation = Violation{kind, id, m.slot(op), address, bytes, std::move(what)};
  }
  return false;
}

// The address that pointers of this type are relative to, or nothing when there is no such thing.
std::optional<uint64_t> base_of(const Machine& m, const RegFact& fact) {
  const packet::Packet& packet = *m.helper.packet;
  switch (fact.type) {
    case RegType::kContext:
      return m.context;
    case RegType::kPacket:
      return number(packet.data);
    case RegType::kPacketMeta:
      return number(packet.data_meta);
    case RegType::kPacketEnd:
      return number(packet.data_end);
    case RegType::kStack:
      if (fact.frame > m.depth - m.base_depth) return std::nullopt;
      return frame_pointer(m, m.base_depth + fact.frame);
    case RegType::kMap:
      return fact.map < m.code->loaded->maps.size() ? std::optional(number(m.code->loaded->maps[fact.map].get()))
                                                    : std::nullopt;
    default:
      return std::nullopt;
  }
}

bool is_pointer(RegType type) {
  return type != RegType::kUnset && type != RegType::kScalar && type != RegType::kMixed && type != RegType::kOther;
}

bool accessible(const Machine& m, uint64_t address, uint64_t bytes, Access access) {
  if (in_packet(m, address, bytes) || in_stack(m, address, bytes)) return true;
  if (in_maps(m, address, bytes, access) || in_lent(m, address, bytes)) return true;
  return access == Access::kRead && inside(address, bytes, m.context, m.context + arch::ebpf::kContextBytes);
}

// Wider offset ranges than this are not searched for a base that fits: they hardly claim anything.
constexpr uint64_t kMostOffsets = 1 << 16;

// Whether some base, as far below `value` as the fact allows, satisfies `fits`.
template <class Fits>
bool has_base(const RegFact& fact, uint64_t value, Fits&& fits) {
  const auto count = static_cast<uint64_t>(fact.range.smax) - static_cast<uint64_t>(fact.range.smin);
  if (count > kMostOffsets) return true;
  for (uint64_t i = 0; i <= count; ++i) {
    const uint64_t offset = static_cast<uint64_t>(fact.range.smin) + i;
    if (fact.range.contains(offset) && fits(value - offset)) return true;
  }
  return false;
}

bool is_map_value(const Machine& m, const RegFact& fact, uint64_t value) {
  const maps::Map& map = *m.code->loaded->maps[fact.map];
  const auto owned = [](const maps::Map& candidate, uint64_t base) {
    return candidate.owns(reinterpret_cast<const void*>(base), candidate.spec().value_size);
  };
  return has_base(fact, value, [&](uint64_t base) {
    return owned(map, base) ||
           std::ranges::any_of(m.helper.held_maps, [&](const auto& held) { return owned(*held, base); });
  });
}

bool is_function(const Machine& m, uint64_t value) {
  return std::ranges::any_of(m.code->loaded->program->subprograms, [&](const arch::ebpf::Subprogram& subprogram) {
    return value == helpers::function_value(subprogram.first);
  });
}

bool holds(const Machine& m, const RegFact& fact, uint64_t value) {
  if (fact.type == RegType::kScalar) return fact.range.contains(value);
  if (!is_pointer(fact.type)) return true;
  if (value == 0) return fact.maybe_null;
  switch (fact.type) {
    case RegType::kMapValue:
      return fact.map < m.code->loaded->maps.size() && is_map_value(m, fact, value);
    case RegType::kMemory:
      return has_base(fact, value, [&](uint64_t base) { return accessible(m, base, fact.mem_size, Access::kRead); });
    case RegType::kFunction:
      return has_base(fact, value, [&](uint64_t base) { return is_function(m, base); });
    case RegType::kStack:
      if (fact.frame != arch::ebpf::kAnyFrame) break;
      for (uint32_t frame = m.base_depth; frame <= m.depth; ++frame)
        if (fact.range.contains(value - frame_pointer(m, frame))) return true;
      return false;
    default:
      break;
  }
  const std::optional<uint64_t> base = base_of(m, fact);
  return base && fact.range.contains(value - *base);
}

const arch::ebpf::Facts* facts_of(const Machine& m) {
  return m.code->loaded == nullptr ? nullptr : m.code->loaded->facts.get();
}

// Whether the access, if to the running function's frame, stays in the stack that the facts give the function.
bool in_stack_claim(const Machine& m, const Op* op, uint64_t address) {
  const arch::ebpf::Facts* facts = m.check_facts ? facts_of(m) : nullptr;
  const uint64_t end = frame_pointer(m, m.depth);
  if (facts == nullptr || !inside(address, 0, number(m.stacks[m.depth]), end)) return true;
  const auto& subprograms = m.code->loaded->program->subprograms;
  for (size_t i = 0; i < subprograms.size() && i < facts->stack_bytes.size(); ++i) {
    if (m.slot(op) >= subprograms[i].first && m.slot(op) < subprograms[i].end)
      return end - address <= facts->stack_bytes[i];
  }
  return true;
}

// The memory that a helper touches through one argument. bytes = 0: none.
struct MemoryArgument {
  uint64_t bytes = 0;
  Access access = Access::kRead;
  bool may_be_null = false;
};

MemoryArgument memory_argument(ArgType type, const maps::Map* map, uint64_t next_argument, uint8_t fixed) {
  const uint64_t key = map == nullptr ? 0 : map->spec().key_size;
  const uint64_t value = map == nullptr ? 0 : map->spec().value_size;
  switch (type) {
    case ArgType::kMapKey:
      return {key, Access::kRead, false};
    case ArgType::kMapValue:
      return {value, Access::kRead, false};
    case ArgType::kMapValueUninit:
      return {value, Access::kWrite, false};
    case ArgType::kMemory:
      return {next_argument, Access::kRead, false};
    case ArgType::kMemoryOrNull:
      return {next_argument, Access::kRead, true};
    case ArgType::kMemoryWritableOrNull:
      return {next_argument, Access::kWrite, true};
    case ArgType::kMemoryUninit:
    case ArgType::kMemoryWritable:
      return {next_argument, Access::kWrite, false};
    case ArgType::kFixedMemory:
      return {fixed, Access::kRead, false};
    case ArgType::kSpinLock:
    case ArgType::kIntOut:
      return {4, Access::kWrite, false};
    case ArgType::kKptr:
    case ArgType::kLongOut:
      return {8, Access::kWrite, false};
    case ArgType::kTimer:
    case ArgType::kDynptrUninit:
    case ArgType::kDynptrRelease:
      return {16, Access::kWrite, false};
    case ArgType::kDynptr:
      return {16, Access::kRead, false};
    case ArgType::kConstString:
    case ArgType::kAllocMemory:
      return {1, Access::kRead, false};
    default:
      return {};
  }
}

bool is_known_map(const Machine& m, uint64_t value) {
  const auto same = [&](const auto& map) { return number(map.get()) == value; };
  return std::ranges::any_of(m.code->loaded->maps, same) || std::ranges::any_of(m.helper.held_maps, same);
}

bool argument_violated(Machine& m, const Op* op, const arch::ebpf::HelperSignature& signature, int argument,
                       uint64_t bytes, std::string_view why) {
  const uint64_t value = m.r[1 + argument];
  return violated(m, op, Violation::Kind::kHelperArgument, value, bytes,
                  fmt::format("argument {} of bpf_{} {}: {} bytes at {}", argument + 1, signature.name, why, bytes,
                              describe(m, value)));
}

}  // namespace

bool check_access(Machine& m, const Op* op, uint64_t address, uint64_t bytes, Access access) {
  if (!in_stack_claim(m, op, address))
    return violated(m, op, Violation::Kind::kFacts, address, bytes,
                    fmt::format("access to {}, below the stack that the facts give", describe(m, address)));
  if (accessible(m, address, bytes, access)) return true;
  return violated(
      m, op, Violation::Kind::kMemory, address, bytes,
      fmt::format("{} of {} bytes at {}", access == Access::kRead ? "read" : "write", bytes, describe(m, address)));
}

bool check_registers(Machine& m, const Op* op) {
  if (facts_of(m) == nullptr) return true;
  const arch::ebpf::Facts& facts = *facts_of(m);
  const uint32_t slot = m.slot(op);
  if (slot >= facts.insns.size()) return true;  // the trap behind the end
  const arch::ebpf::InsnFacts& fact = facts.insns[slot];
  if (!fact.reached) return violated(m, op, Violation::Kind::kFacts, 0, 0, "reached, though the facts say it never is");
  if (const uint32_t frames = m.depth - m.base_depth + 1; frames > facts.max_call_depth)
    return violated(m, op, Violation::Kind::kFacts, 0, 0,
                    fmt::format("{} frames, though the facts say at most {}", frames, facts.max_call_depth));
  const packet::Packet& packet = *m.helper.packet;
  if (fact.packet_bytes > static_cast<uint64_t>(packet.data_end - packet.data))
    return violated(m, op, Violation::Kind::kFacts, 0, 0,
                    fmt::format("{} packet bytes proved, {} there", fact.packet_bytes, packet.data_end - packet.data));
  if (fact.packet_meta_bytes > static_cast<uint64_t>(packet.data - packet.data_meta))
    return violated(
        m, op, Violation::Kind::kFacts, 0, 0,
        fmt::format("{} metadata bytes proved, {} there", fact.packet_meta_bytes, packet.data - packet.data_meta));
  for (int r = 0; r < arch::ebpf::kRegCount; ++r) {
    if (!holds(m, fact.regs[r], m.r[r])) {
      return violated(m, op, Violation::Kind::kFacts, 0, 0,
                      fmt::format("r{} = {:#x} is outside its fact (type {}, [{}, {}] signed [{}, {}])", r, m.r[r],
                                  static_cast<int>(fact.regs[r].type), fact.regs[r].range.umin, fact.regs[r].range.umax,
                                  fact.regs[r].range.smin, fact.regs[r].range.smax));
    }
  }
  return true;
}

bool check_helper_arguments(Machine& m, const Op* op) {
  const arch::ebpf::HelperSignature* signature = arch::ebpf::find_helper(static_cast<uint32_t>(op->imm));
  if (signature == nullptr) return true;
  const maps::Map* map = nullptr;
  for (int i = 0; i < 5; ++i) {
    const ArgType type = signature->args[i];
    const uint64_t value = m.r[1 + i];
    if (type == ArgType::kMap) {
      if (!is_known_map(m, value)) return argument_violated(m, op, *signature, i, 0, "is not a map");
      map = reinterpret_cast<const maps::Map*>(value);
    }
    if (type == ArgType::kContext && value != m.context)
      return argument_violated(m, op, *signature, i, 0, "is not the context");
    if (type == ArgType::kCallback && helpers::function_slot(value) >= m.code->ops.size())
      return argument_violated(m, op, *signature, i, 0, "is not a subprogram");
    const uint64_t next = i < 4 ? static_cast<uint32_t>(m.r[2 + i]) : 0;
    const MemoryArgument memory = memory_argument(type, map, next, signature->fixed_sizes[i]);
    if (memory.bytes == 0 || (memory.may_be_null && value == 0)) continue;
    if (!accessible(m, value, memory.bytes, memory.access))
      return argument_violated(m, op, *signature, i, memory.bytes, "points to memory it may not");
    if (!in_stack_claim(m, op, value))
      return argument_violated(m, op, *signature, i, memory.bytes, "is below the stack that the facts give");
  }
  return true;
}

bool check_packet_moves(Machine& m, const Op* op, const PacketBounds& before) {
  const arch::ebpf::Facts* facts = m.check_facts ? facts_of(m) : nullptr;
  if (facts == nullptr || facts->may_change_packet || before == packet_bounds(*m.helper.packet)) return true;
  return violated(m, op, Violation::Kind::kFacts, 0, 0, "the packet's bounds moved, though the facts say they don't");
}

void scramble_dead_halves(Machine& m, const Op* op) {
  const arch::ebpf::Facts* facts = facts_of(m);
  const uint32_t slot = m.slot(op);
  if (facts == nullptr || slot >= facts->insns.size()) return;
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15u;
  for (int r = 0; r < arch::ebpf::kRegCount - 1; ++r) {
    if (((facts->insns[slot].upper_live >> r) & 1) == 0) m.r[r] ^= (kGolden * (slot + 1)) & ~uint64_t{0xffffffff};
  }
}

}  // namespace xnic::exec::interp
