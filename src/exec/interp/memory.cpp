// SPDX-License-Identifier: Apache-2.0
// Loads, stores and atomics (RFC 9669 §5). Pointers are host addresses. A load inside the context object is answered
// field by field, because struct xdp_md shows 32-bit fields where the program gets full pointers.
//
// The `checked` forms ask checks.cpp before each access; the plain forms contain nothing of it.
#include <type_traits>

#include "base/bytes.hpp"
#include "exec/interp/machine.hpp"

namespace xnic::exec::interp {
namespace {

using arch::ebpf::AtomicOp;
using arch::ebpf::Size;

uint64_t load_context(const Machine& m, uint64_t offset) {
  const packet::Packet& packet = *m.helper.packet;
  switch (offset) {
    case arch::ebpf::kCtxData:
      return reinterpret_cast<uint64_t>(packet.data);
    case arch::ebpf::kCtxDataEnd:
      return reinterpret_cast<uint64_t>(packet.data_end);
    case arch::ebpf::kCtxDataMeta:
      return reinterpret_cast<uint64_t>(packet.data_meta);
    case arch::ebpf::kCtxIngressIfindex:
      return packet.ingress_ifindex;
    case arch::ebpf::kCtxRxQueueIndex:
      return packet.rx_queue;
    case arch::ebpf::kCtxEgressIfindex:
      return packet.egress_ifindex;
    default:
      return 0;  // inside a field: no verifier accepts it
  }
}

// T: the memory's type; sign-extends when it is signed.
template <class T, bool checked>
const Op* load(Machine& m, const Op* op) {
  const uint64_t address = m.r[op->src] + static_cast<int64_t>(op->offset);
  if constexpr (checked) {
    if (!check_access(m, op, address, sizeof(T), Access::kRead)) return m.stop();
  }
  if (address - m.context < arch::ebpf::kContextBytes) [[unlikely]] {
    m.r[op->dst] = load_context(m, address - m.context);
  } else {
    m.r[op->dst] = static_cast<uint64_t>(base::load<T>(reinterpret_cast<const void*>(address)));
  }
  return op + 1;
}

template <class T, bool immediate, bool checked>
const Op* store(Machine& m, const Op* op) {
  const uint64_t address = m.r[op->dst] + static_cast<int64_t>(op->offset);
  if constexpr (checked) {
    if (!check_access(m, op, address, sizeof(T), Access::kWrite)) return m.stop();
  }
  base::store(reinterpret_cast<void*>(address), static_cast<T>(immediate ? op->imm : m.r[op->src]));
  return op + 1;
}

template <AtomicOp operation, class T>
T modify(T* at, T value) {
  if constexpr (operation == AtomicOp::kAdd) return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);
  if constexpr (operation == AtomicOp::kOr) return __atomic_fetch_or(at, value, __ATOMIC_SEQ_CST);
  if constexpr (operation == AtomicOp::kAnd) return __atomic_fetch_and(at, value, __ATOMIC_SEQ_CST);
  if constexpr (operation == AtomicOp::kXor) return __atomic_fetch_xor(at, value, __ATOMIC_SEQ_CST);
  if constexpr (operation == AtomicOp::kXchg) return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST);
}

template <AtomicOp operation, class T, bool fetch, bool checked>
const Op* atomic_modify(Machine& m, const Op* op) {
  const uint64_t address = m.r[op->dst] + static_cast<int64_t>(op->offset);
  if constexpr (checked) {
    if (!check_access(m, op, address, sizeof(T), Access::kWrite)) return m.stop();
  }
  const T old = modify<operation>(reinterpret_cast<T*>(address), static_cast<T>(m.r[op->src]));
  if constexpr (fetch) m.r[op->src] = old;
  return op + 1;
}

// r0 receives the old value whether or not it was exchanged, zero-extended.
template <class T, bool checked>
const Op* compare_exchange(Machine& m, const Op* op) {
  const uint64_t address = m.r[op->dst] + static_cast<int64_t>(op->offset);
  if constexpr (checked) {
    if (!check_access(m, op, address, sizeof(T), Access::kWrite)) return m.stop();
  }
  T expected = static_cast<T>(m.r[0]);
  __atomic_compare_exchange_n(reinterpret_cast<T*>(address), &expected, static_cast<T>(m.r[op->src]), false,
                              __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  m.r[0] = expected;
  return op + 1;
}

template <class T, bool checked>
const Op* load_acquire(Machine& m, const Op* op) {
  const uint64_t address = m.r[op->src] + static_cast<int64_t>(op->offset);
  if constexpr (checked) {
    if (!check_access(m, op, address, sizeof(T), Access::kRead)) return m.stop();
  }
  m.r[op->dst] = __atomic_load_n(reinterpret_cast<T*>(address), __ATOMIC_ACQUIRE);
  return op + 1;
}

template <class T, bool checked>
const Op* store_release(Machine& m, const Op* op) {
  const uint64_t address = m.r[op->dst] + static_cast<int64_t>(op->offset);
  if constexpr (checked) {
    if (!check_access(m, op, address, sizeof(T), Access::kWrite)) return m.stop();
  }
  __atomic_store_n(reinterpret_cast<T*>(address), static_cast<T>(m.r[op->src]), __ATOMIC_RELEASE);
  return op + 1;
}

// Legacy packet access, RFC 9669 §5.5: network order, from data; what does not fit ends the program with 0.
template <class T, bool indirect>
const Op* load_packet(Machine& m, const Op* op) {
  const uint32_t offset = static_cast<uint32_t>(op->imm) + (indirect ? static_cast<uint32_t>(m.r[op->src]) : 0u);
  const packet::Packet* packet = m.helper.packet;
  const uint64_t size = packet == nullptr ? 0 : static_cast<uint64_t>(packet->data_end - packet->data);
  if (size < sizeof(T) || offset > size - sizeof(T)) {
    m.r[0] = 0;
    return nullptr;
  }
  m.r[0] = base::load_be<T>(packet->data + offset);
  return op + 1;
}

template <bool checked>
Handler load_of(const arch::ebpf::Load& insn) {
  switch (insn.size) {
    case Size::k1:
      return insn.sign_extend ? load<int8_t, checked> : load<uint8_t, checked>;
    case Size::k2:
      return insn.sign_extend ? load<int16_t, checked> : load<uint16_t, checked>;
    case Size::k4:
      return insn.sign_extend ? load<int32_t, checked> : load<uint32_t, checked>;
    case Size::k8:
      return insn.sign_extend ? nullptr : load<uint64_t, checked>;
  }
  return nullptr;
}

template <bool checked, bool immediate>
Handler store_of(Size size) {
  switch (size) {
    case Size::k1:
      return store<uint8_t, immediate, checked>;
    case Size::k2:
      return store<uint16_t, immediate, checked>;
    case Size::k4:
      return store<uint32_t, immediate, checked>;
    case Size::k8:
      return store<uint64_t, immediate, checked>;
  }
  return nullptr;
}

template <AtomicOp operation, bool checked>
Handler modify_of(const arch::ebpf::Atomic& insn) {
  if (insn.size == Size::k4)
    return insn.fetch ? atomic_modify<operation, uint32_t, true, checked>
                      : atomic_modify<operation, uint32_t, false, checked>;
  if (insn.size == Size::k8)
    return insn.fetch ? atomic_modify<operation, uint64_t, true, checked>
                      : atomic_modify<operation, uint64_t, false, checked>;
  return nullptr;
}

template <bool checked>
Handler ordered_of(const arch::ebpf::Atomic& insn) {
  const bool is_load = insn.op == AtomicOp::kLoadAcquire;
  switch (insn.size) {
    case Size::k1:
      return is_load ? load_acquire<uint8_t, checked> : store_release<uint8_t, checked>;
    case Size::k2:
      return is_load ? load_acquire<uint16_t, checked> : store_release<uint16_t, checked>;
    case Size::k4:
      return is_load ? load_acquire<uint32_t, checked> : store_release<uint32_t, checked>;
    case Size::k8:
      return is_load ? load_acquire<uint64_t, checked> : store_release<uint64_t, checked>;
  }
  return nullptr;
}

template <bool checked>
Handler atomic_of(const arch::ebpf::Atomic& insn) {
  switch (insn.op) {
    case AtomicOp::kAdd:
      return modify_of<AtomicOp::kAdd, checked>(insn);
    case AtomicOp::kOr:
      return modify_of<AtomicOp::kOr, checked>(insn);
    case AtomicOp::kAnd:
      return modify_of<AtomicOp::kAnd, checked>(insn);
    case AtomicOp::kXor:
      return modify_of<AtomicOp::kXor, checked>(insn);
    case AtomicOp::kXchg:
      return modify_of<AtomicOp::kXchg, checked>(insn);
    case AtomicOp::kCmpxchg:
      if (insn.size == Size::k4) return compare_exchange<uint32_t, checked>;
      return insn.size == Size::k8 ? compare_exchange<uint64_t, checked> : nullptr;
    case AtomicOp::kLoadAcquire:
    case AtomicOp::kStoreRelease:
      return ordered_of<checked>(insn);
  }
  return nullptr;
}

}  // namespace

Handler handler_of(const arch::ebpf::Load& insn, bool checked) {
  return checked ? load_of<true>(insn) : load_of<false>(insn);
}

Handler handler_of(const arch::ebpf::Store& insn, bool checked) {
  if (std::holds_alternative<arch::ebpf::Imm>(insn.src))
    return checked ? store_of<true, true>(insn.size) : store_of<false, true>(insn.size);
  return checked ? store_of<true, false>(insn.size) : store_of<false, false>(insn.size);
}

Handler handler_of(const arch::ebpf::Atomic& insn, bool checked) {
  return checked ? atomic_of<true>(insn) : atomic_of<false>(insn);
}

Handler handler_of(const arch::ebpf::LoadPacket& insn) {
  switch (insn.size) {
    case Size::k1:
      return insn.indirect ? load_packet<uint8_t, true> : load_packet<uint8_t, false>;
    case Size::k2:
      return insn.indirect ? load_packet<uint16_t, true> : load_packet<uint16_t, false>;
    case Size::k4:
      return insn.indirect ? load_packet<uint32_t, true> : load_packet<uint32_t, false>;
    case Size::k8:
      break;
  }
  return nullptr;
}

}  // namespace xnic::exec::interp
