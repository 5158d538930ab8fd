// SPDX-License-Identifier: Apache-2.0
// Addresses, loads, stores and atomics. Registers hold host addresses, as in the interpreter.
//
// The packet's difference buffer and scratch memory need no storage of their own here: written bytes go to the packet
// itself after the row, so later rows read them and emission finds them, which is all that the hardware's merge of
// packet buffer, difference buffer and scratch can show. What a read waits for is the frame of its last byte as it
// arrived, whether or not the program has written it meanwhile; writes wait for nothing.
#include <algorithm>

#include "base/bytes.hpp"
#include "exec/sim/hxdp/core.hpp"

namespace xnic::exec::sim::hxdp {
namespace {

using isa::AtomicOp;
using isa::Space;

uint64_t number(const void* at) { return reinterpret_cast<uint64_t>(at); }

uint64_t load_context(const Core& core, uint64_t offset) {
  const packet::Packet& packet = *core.packet;
  switch (offset) {
    case arch::ebpf::kCtxData:
      return number(packet.data);
    case arch::ebpf::kCtxDataEnd:
      return number(packet.data_end);
    case arch::ebpf::kCtxDataMeta:
      return number(packet.data_meta);
    case arch::ebpf::kCtxIngressIfindex:
      return packet.ingress_ifindex;
    case arch::ebpf::kCtxRxQueueIndex:
      return packet.rx_queue;
    case arch::ebpf::kCtxEgressIfindex:
      return packet.egress_ifindex;
    default:
      return 0;
  }
}

template <unsigned bytes>
uint64_t read_memory(uint64_t address) {
  const void* at = reinterpret_cast<const void*>(address);
  if constexpr (bytes == 1) return base::load<uint8_t>(at);
  if constexpr (bytes == 2) return base::load<uint16_t>(at);
  if constexpr (bytes == 4) return base::load<uint32_t>(at);
  if constexpr (bytes == 6)
    return base::load<uint32_t>(at) | uint64_t{base::load<uint16_t>(static_cast<const uint8_t*>(at) + 4)} << 32;
  if constexpr (bytes == 8) return base::load<uint64_t>(at);
}

template <unsigned bytes>
void write_memory(uint64_t address, uint64_t value) {
  void* at = reinterpret_cast<void*>(address);
  if constexpr (bytes == 1) base::store(at, static_cast<uint8_t>(value));
  if constexpr (bytes == 2) base::store(at, static_cast<uint16_t>(value));
  if constexpr (bytes == 4 || bytes == 6) base::store(at, static_cast<uint32_t>(value));
  if constexpr (bytes == 6) base::store(static_cast<uint8_t*>(at) + 4, static_cast<uint16_t>(value >> 32));
  if constexpr (bytes == 8) base::store(at, value);
}

// The low `bytes` bytes in the opposite order.
template <unsigned bytes>
uint64_t reversed(uint64_t value) {
  return base::byte_swap(value) >> (64 - 8 * bytes);
}

template <unsigned bytes>
uint64_t extended(uint64_t value) {
  constexpr unsigned kShift = 64 - 8 * bytes;
  return static_cast<uint64_t>(static_cast<int64_t>(value << kShift) >> kShift);
}

template <Space space>
uint64_t resolve(const Core& core, const Micro& m) {
  if constexpr (space == Space::kRegister) return core.regs[m.a] + m.imm;
  if constexpr (space == Space::kPacket) return number(core.packet->data) + m.imm;
  if constexpr (space == Space::kStack) return number(core.stack) + m.imm;
  if constexpr (space == Space::kContext) return number(core.context_object) + m.imm;
  if constexpr (space == Space::kMapValue) return m.imm;
}

// Finds the memory and notes what the access means for time. False: no memory there.
template <Space space, unsigned bytes, bool reads>
bool reach(Core& core, const Micro& m, uint64_t address, Space& where) {
  if constexpr (space == Space::kStack) {  // its limits were checked at load
    where = Space::kStack;
    return true;
  } else if constexpr (space == Space::kMapValue) {
    where = m.owned ? Space::kMapValue : core.space_of(address, bytes);
  } else {
    where = core.space_of(address, bytes);
  }
  if (where == Space::kPacket && reads) core.touch(address, bytes);
  if (where == Space::kMapValue) core.row_map_accesses = std::max(core.row_map_accesses, 1u);
  return where != Space::kRegister;
}

template <Space space, unsigned bytes, bool big_endian, bool sign_extend>
Flow load(Core& core, const Micro& m) {
  const uint64_t address = resolve<space>(core, m);
  Space where;
  uint64_t value = 0;
  if (!reach<space, bytes, true>(core, m, address, where)) {
    if (!m.speculative) return core.fault(m, address, bytes, "load");
  } else {
    value = where == Space::kContext ? load_context(core, address - number(core.context_object))
                                     : read_memory<bytes>(address);
    if constexpr (big_endian) value = reversed<bytes>(value);
    if constexpr (sign_extend) value = extended<bytes>(value);
  }
  core.regs[m.out] = value;
  return Flow::kOn;
}

// True when [address, address + bytes) can be written; notes what a write means.
template <Space space, unsigned bytes, bool reads>
bool reach_to_write(Core& core, const Micro& m, uint64_t address) {
  Space where;
  if (!reach<space, bytes, reads>(core, m, address, where) || where == Space::kContext) return false;
  if (where == Space::kStack) core.stack_dirty = true;
  return true;
}

template <unsigned bytes>
void write(Core& core, const Micro& m, uint64_t address, uint64_t value) {
  if (m.at_once) {
    write_memory<bytes>(address, value);
  } else {
    core.push_store(address, value, bytes);
  }
}

template <Space space, unsigned bytes, bool immediate>
Flow store(Core& core, const Micro& m) {
  const uint64_t address = resolve<space>(core, m);
  if (!reach_to_write<space, bytes, false>(core, m, address)) return core.fault(m, address, bytes, "store");
  const uint64_t value = immediate ? m.value : core.regs[m.b];
  write<bytes>(core, m, address, m.big_endian ? reversed<bytes>(value) : value);
  return Flow::kOn;
}

template <Space space, unsigned bytes, bool immediate>
Flow add_memory(Core& core, const Micro& m) {
  const uint64_t address = resolve<space>(core, m);
  if (!reach_to_write<space, bytes, true>(core, m, address)) return core.fault(m, address, bytes, "addition");
  write<bytes>(core, m, address, read_memory<bytes>(address) + (immediate ? m.value : core.regs[m.b]));
  return Flow::kOn;
}

template <AtomicOp op, unsigned bytes>
Flow atomic(Core& core, const Micro& m) {
  const uint64_t address = resolve<Space::kRegister>(core, m);
  if (!reach_to_write<Space::kRegister, bytes, true>(core, m, address)) return core.fault(m, address, bytes, "atomic");
  const uint64_t old = read_memory<bytes>(address);
  const uint64_t source = core.regs[m.b];
  const uint64_t expected = bytes == 4 ? static_cast<uint32_t>(core.regs[m.c]) : core.regs[m.c];
  if constexpr (op == AtomicOp::kAdd) write<bytes>(core, m, address, old + source);
  if constexpr (op == AtomicOp::kOr) write<bytes>(core, m, address, old | source);
  if constexpr (op == AtomicOp::kAnd) write<bytes>(core, m, address, old & source);
  if constexpr (op == AtomicOp::kXor) write<bytes>(core, m, address, old ^ source);
  if constexpr (op == AtomicOp::kXchg) write<bytes>(core, m, address, source);
  if constexpr (op == AtomicOp::kCmpxchg) {
    if (old == expected) write<bytes>(core, m, address, source);
  }
  if (m.has_result) core.regs[m.out] = old;
  return Flow::kOn;
}

template <Space space>
Flow address_of(Core& core, const Micro& m) {
  const packet::Packet& packet = *core.packet;
  uint64_t base = m.value;  // maps and their values
  if constexpr (space == Space::kPacket) base = number(packet.data);
  if constexpr (space == Space::kPacketEnd) base = number(packet.data_end);
  if constexpr (space == Space::kPacketMeta) base = number(packet.data_meta);
  if constexpr (space == Space::kPacketBytes) base = static_cast<uint64_t>(packet.data_end - packet.data);
  if constexpr (space == Space::kStack) base = number(core.stack);
  if constexpr (space == Space::kContext) base = number(core.context_object);
  core.regs[m.out] = base + m.imm;
  return Flow::kOn;
}

// A handler for the size of the access; null for a size that no port has.
template <class Pick>
Handler by_size(uint8_t bytes, const Pick& pick) {
  switch (bytes) {
    case 1:
      return pick.template of<1>();
    case 2:
      return pick.template of<2>();
    case 4:
      return pick.template of<4>();
    case 6:
      return pick.template of<6>();
    case 8:
      return pick.template of<8>();
    default:
      return nullptr;
  }
}
template <Space space>
struct PickLoad {
  const isa::Load& op;
  template <unsigned bytes>
  Handler of() const {
    if (op.big_endian) return op.sign_extend ? load<space, bytes, true, true> : load<space, bytes, true, false>;
    return op.sign_extend ? load<space, bytes, false, true> : load<space, bytes, false, false>;
  }
};
template <Space space>
struct PickStore {
  const isa::Store& op;
  template <unsigned bytes>
  Handler of() const {
    return std::holds_alternative<isa::Imm>(op.src) ? store<space, bytes, true> : store<space, bytes, false>;
  }
};
template <Space space>
struct PickAdd {
  const isa::AddMemory& op;
  template <unsigned bytes>
  Handler of() const {
    return std::holds_alternative<isa::Imm>(op.src) ? add_memory<space, bytes, true> : add_memory<space, bytes, false>;
  }
};
template <AtomicOp op>
Handler atomic_of(uint8_t bytes) {
  return bytes == 4 ? atomic<op, 4> : atomic<op, 8>;
}

template <template <Space> class Pick, class Op>
Handler by_space(const Op& op, const isa::Memory& memory) {
  switch (memory.space) {
    case Space::kRegister:
      return by_size(memory.bytes, Pick<Space::kRegister>{op});
    case Space::kPacket:
      return by_size(memory.bytes, Pick<Space::kPacket>{op});
    case Space::kStack:
      return by_size(memory.bytes, Pick<Space::kStack>{op});
    case Space::kContext:
      return by_size(memory.bytes, Pick<Space::kContext>{op});
    case Space::kMapValue:
      return by_size(memory.bytes, Pick<Space::kMapValue>{op});
    default:
      return nullptr;
  }
}

}  // namespace

void Core::write_bytes(uint64_t address, uint64_t value, uint8_t bytes) {
  switch (bytes) {
    case 1:
      return write_memory<1>(address, value);
    case 2:
      return write_memory<2>(address, value);
    case 4:
      return write_memory<4>(address, value);
    case 6:
      return write_memory<6>(address, value);
    default:
      return write_memory<8>(address, value);
  }
}

// What space_of() has not seen yet.
Space Core::search_space(uint64_t address, uint64_t bytes) {
  if (inside(address, bytes, number(stack), sizeof stack)) return Space::kStack;
  if (inside(address, bytes, number(context_object), sizeof context_object)) return Space::kContext;
  const void* at = reinterpret_cast<const void*>(address);
  if (hit_map != nullptr && hit_map->owns(at, bytes)) return Space::kMapValue;
  for (const auto& map : image.program->maps) {
    if (!map->owns(at, bytes)) continue;
    hit_map = map.get();
    return Space::kMapValue;
  }
  for (const auto& map : helper.held_maps) {
    if (map->owns(at, bytes)) return Space::kMapValue;
  }
  for (const helpers::LentMemory& lent : helper.lent) {
    if (inside(address, bytes, lent.address, lent.bytes)) return Space::kMapValue;
  }
  return Space::kRegister;
}

Handler handler_of(const isa::Load& op) { return by_space<PickLoad>(op, op.from); }
Handler handler_of(const isa::Store& op) { return by_space<PickStore>(op, op.to); }
Handler handler_of(const isa::AddMemory& op) { return by_space<PickAdd>(op, op.to); }

Handler handler_of(const isa::Atomic& op) {
  switch (op.op) {
    case AtomicOp::kAdd:
      return atomic_of<AtomicOp::kAdd>(op.to.bytes);
    case AtomicOp::kOr:
      return atomic_of<AtomicOp::kOr>(op.to.bytes);
    case AtomicOp::kAnd:
      return atomic_of<AtomicOp::kAnd>(op.to.bytes);
    case AtomicOp::kXor:
      return atomic_of<AtomicOp::kXor>(op.to.bytes);
    case AtomicOp::kXchg:
      return atomic_of<AtomicOp::kXchg>(op.to.bytes);
    case AtomicOp::kCmpxchg:
      return atomic_of<AtomicOp::kCmpxchg>(op.to.bytes);
    default:
      return nullptr;
  }
}

Handler handler_of(const isa::Address& op) {
  switch (op.space) {
    case Space::kPacket:
      return address_of<Space::kPacket>;
    case Space::kPacketEnd:
      return address_of<Space::kPacketEnd>;
    case Space::kPacketMeta:
      return address_of<Space::kPacketMeta>;
    case Space::kPacketBytes:
      return address_of<Space::kPacketBytes>;
    case Space::kStack:
      return address_of<Space::kStack>;
    case Space::kContext:
      return address_of<Space::kContext>;
    case Space::kMapValue:
      return address_of<Space::kMapValue>;
    case Space::kMap:
      return address_of<Space::kMap>;
    case Space::kRegister:
      break;
  }
  return nullptr;
}

}  // namespace xnic::exec::sim::hxdp
