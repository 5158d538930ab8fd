// SPDX-License-Identifier: Apache-2.0
// Addresses, loads, stores and atomics. Registers hold host addresses, as in the interpreter.
//
// The packet's difference buffer and scratch memory need no storage of their own here: written bytes go to the packet
// itself after the row, so later rows read them and emission finds them, which is all that the hardware's merge of
// packet buffer, difference buffer and scratch can show. What a read waits for is the frame of its last byte as it
// arrived, whether or not the program has written it meanwhile; writes wait for nothing.
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

uint64_t read_bytes(uint64_t address, uint8_t bytes) {
  const void* at = reinterpret_cast<const void*>(address);
  switch (bytes) {
    case 1:
      return base::load<uint8_t>(at);
    case 2:
      return base::load<uint16_t>(at);
    case 4:
      return base::load<uint32_t>(at);
    case 6: {
      uint64_t value = 0;
      std::memcpy(&value, at, 6);
      return value;
    }
    default:
      return base::load<uint64_t>(at);
  }
}

// The low `bytes` bytes in the opposite order.
uint64_t reversed(uint64_t value, uint8_t bytes) { return base::byte_swap(value) >> (64 - 8 * bytes); }

uint64_t extended(uint64_t value, uint8_t bytes) {
  const unsigned shift = 64 - 8u * bytes;
  return static_cast<uint64_t>(static_cast<int64_t>(value << shift) >> shift);
}

template <Space space>
uint64_t resolve(const Core& core, const Micro& m) {
  if constexpr (space == Space::kRegister) return core.regs[m.a] + m.imm;
  if constexpr (space == Space::kPacket) return number(core.packet->data) + m.imm;
  if constexpr (space == Space::kStack) return number(core.stack) + m.imm;
  if constexpr (space == Space::kContext) return number(core.context_object) + m.imm;
  if constexpr (space == Space::kMapValue) return m.value + m.imm;
}

// Finds the memory and notes what the access means for time. False: no memory there.
template <Space space>
bool reach(Core& core, uint64_t address, uint8_t bytes, bool reads, Space& where) {
  where = space == Space::kStack ? Space::kStack : core.space_of(address, bytes);
  if (where == Space::kPacket && reads) core.touch(address, bytes);
  if (where == Space::kMapValue) core.row_uses_map_memory = true;
  return where != Space::kRegister;
}

template <Space space>
Flow load(Core& core, const Micro& m) {
  const uint64_t address = resolve<space>(core, m);
  Space where;
  uint64_t value = 0;
  if (!reach<space>(core, address, m.bytes, true, where)) {
    if (!m.speculative) return core.fault(m, address, m.bytes, "load");
  } else if (where == Space::kContext) {
    value = load_context(core, address - number(core.context_object));
  } else {
    value = read_bytes(address, m.bytes);
    if (m.big_endian) value = reversed(value, m.bytes);
    if (m.sign_extend) value = extended(value, m.bytes);
  }
  core.regs[m.out] = value;
  return Flow::kOn;
}

// True when [address, address + bytes) can be written; notes what a write means.
template <Space space>
bool reach_to_write(Core& core, uint64_t address, uint8_t bytes, bool reads) {
  Space where;
  if (!reach<space>(core, address, bytes, reads, where) || where == Space::kContext) return false;
  if (where == Space::kStack) core.stack_dirty = true;
  return true;
}

template <Space space, bool immediate>
Flow store(Core& core, const Micro& m) {
  const uint64_t address = resolve<space>(core, m);
  if (!reach_to_write<space>(core, address, m.bytes, false)) return core.fault(m, address, m.bytes, "store");
  const uint64_t value = immediate ? m.value : core.regs[m.b];
  core.push_store(address, m.big_endian ? reversed(value, m.bytes) : value, m.bytes);
  return Flow::kOn;
}

template <Space space, bool immediate>
Flow add_memory(Core& core, const Micro& m) {
  const uint64_t address = resolve<space>(core, m);
  if (!reach_to_write<space>(core, address, m.bytes, true)) return core.fault(m, address, m.bytes, "addition");
  core.push_store(address, read_bytes(address, m.bytes) + (immediate ? m.value : core.regs[m.b]), m.bytes);
  return Flow::kOn;
}

template <AtomicOp op>
Flow atomic(Core& core, const Micro& m) {
  const uint64_t address = resolve<Space::kRegister>(core, m);
  if (!reach_to_write<Space::kRegister>(core, address, m.bytes, true)) return core.fault(m, address, m.bytes, "atomic");
  const uint64_t old = read_bytes(address, m.bytes);
  const uint64_t source = core.regs[m.b];
  const uint64_t expected = m.bytes == 4 ? static_cast<uint32_t>(core.regs[m.c]) : core.regs[m.c];
  if constexpr (op == AtomicOp::kAdd) core.push_store(address, old + source, m.bytes);
  if constexpr (op == AtomicOp::kOr) core.push_store(address, old | source, m.bytes);
  if constexpr (op == AtomicOp::kAnd) core.push_store(address, old & source, m.bytes);
  if constexpr (op == AtomicOp::kXor) core.push_store(address, old ^ source, m.bytes);
  if constexpr (op == AtomicOp::kXchg) core.push_store(address, source, m.bytes);
  if constexpr (op == AtomicOp::kCmpxchg) {
    if (old == expected) core.push_store(address, source, m.bytes);
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

template <Space space>
Handler store_of(const isa::Operand& src) {
  return std::holds_alternative<isa::Imm>(src) ? store<space, true> : store<space, false>;
}
template <Space space>
Handler add_of(const isa::Operand& src) {
  return std::holds_alternative<isa::Imm>(src) ? add_memory<space, true> : add_memory<space, false>;
}

}  // namespace

Space Core::space_of(uint64_t address, uint64_t bytes) {
  const auto inside = [&](uint64_t begin, uint64_t size) {
    const uint64_t offset = address - begin;
    return offset < size && bytes <= size - offset;
  };
  const uint64_t meta = number(packet->data_meta);
  if (inside(meta, number(packet->data_end) - meta)) return Space::kPacket;
  if (inside(number(stack), sizeof stack)) return Space::kStack;
  if (inside(number(context_object), sizeof context_object)) return Space::kContext;
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
    if (inside(lent.address, lent.bytes)) return Space::kMapValue;
  }
  return Space::kRegister;
}

Handler handler_of(const isa::Load& op) {
  switch (op.from.space) {
    case Space::kRegister:
      return load<Space::kRegister>;
    case Space::kPacket:
      return load<Space::kPacket>;
    case Space::kStack:
      return load<Space::kStack>;
    case Space::kContext:
      return load<Space::kContext>;
    case Space::kMapValue:
      return load<Space::kMapValue>;
    default:
      return nullptr;
  }
}

Handler handler_of(const isa::Store& op) {
  switch (op.to.space) {
    case Space::kRegister:
      return store_of<Space::kRegister>(op.src);
    case Space::kPacket:
      return store_of<Space::kPacket>(op.src);
    case Space::kStack:
      return store_of<Space::kStack>(op.src);
    case Space::kContext:
      return store_of<Space::kContext>(op.src);
    case Space::kMapValue:
      return store<Space::kMapValue, false>;
    default:
      return nullptr;
  }
}

Handler handler_of(const isa::AddMemory& op) {
  switch (op.to.space) {
    case Space::kRegister:
      return add_of<Space::kRegister>(op.src);
    case Space::kPacket:
      return add_of<Space::kPacket>(op.src);
    case Space::kStack:
      return add_of<Space::kStack>(op.src);
    case Space::kContext:
      return add_of<Space::kContext>(op.src);
    case Space::kMapValue:
      return add_memory<Space::kMapValue, false>;
    default:
      return nullptr;
  }
}

Handler handler_of(const isa::Atomic& op) {
  switch (op.op) {
    case AtomicOp::kAdd:
      return atomic<AtomicOp::kAdd>;
    case AtomicOp::kOr:
      return atomic<AtomicOp::kOr>;
    case AtomicOp::kAnd:
      return atomic<AtomicOp::kAnd>;
    case AtomicOp::kXor:
      return atomic<AtomicOp::kXor>;
    case AtomicOp::kXchg:
      return atomic<AtomicOp::kXchg>;
    case AtomicOp::kCmpxchg:
      return atomic<AtomicOp::kCmpxchg>;
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
