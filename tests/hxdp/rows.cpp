// SPDX-License-Identifier: Apache-2.0
// Each row: lanes read the state before the row and list their effects, up to the first taken branch or exit; then the
// effects happen in order.
#include "rows.hpp"

#include <fmt/format.h>

#include <cstring>

#include "arch/ebpf/context.hpp"
#include "base/bytes.hpp"
#include "base/check.hpp"

namespace xnic::tests {

using namespace arch::hxdp;
using arch::ebpf::Overloaded;

namespace {

uint64_t alu(AluOp op, bool wide, uint64_t a, uint64_t b) {
  if (!wide) a = uint32_t(a), b = uint32_t(b);
  const int64_t sa = wide ? int64_t(a) : int32_t(a), sb = wide ? int64_t(b) : int32_t(b);
  const unsigned shift = b & (wide ? 63 : 31);
  uint64_t r = 0;
  switch (op) {
    case AluOp::kAdd:
      r = a + b;
      break;
    case AluOp::kSub:
      r = a - b;
      break;
    case AluOp::kMul:
      r = a * b;
      break;
    case AluOp::kDiv:
      r = b ? a / b : 0;
      break;
    case AluOp::kOr:
      r = a | b;
      break;
    case AluOp::kAnd:
      r = a & b;
      break;
    case AluOp::kLsh:
      r = a << shift;
      break;
    case AluOp::kRsh:
      r = a >> shift;
      break;
    case AluOp::kMod:
      r = b ? a % b : a;
      break;
    case AluOp::kXor:
      r = a ^ b;
      break;
    case AluOp::kArsh:
      r = uint64_t(sa >> shift);
      break;
    case AluOp::kSdiv:
      r = sb == 0 ? 0 : sb == -1 ? 0 - a : uint64_t(sa / sb);
      break;
    case AluOp::kSmod:
      r = sb == 0 ? a : sb == -1 ? 0 : uint64_t(sa % sb);
      break;
    case AluOp::kReverseSub:
      r = b - a;
      break;
  }
  return wide ? r : uint32_t(r);
}

bool holds(JumpOp op, bool wide, uint64_t a, uint64_t b) {
  if (!wide) a = uint32_t(a), b = uint32_t(b);
  const int64_t sa = wide ? int64_t(a) : int32_t(a), sb = wide ? int64_t(b) : int32_t(b);
  switch (op) {
    case JumpOp::kEq:
      return a == b;
    case JumpOp::kGt:
      return a > b;
    case JumpOp::kGe:
      return a >= b;
    case JumpOp::kSet:
      return (a & b) != 0;
    case JumpOp::kNe:
      return a != b;
    case JumpOp::kSgt:
      return sa > sb;
    case JumpOp::kSge:
      return sa >= sb;
    case JumpOp::kLt:
      return a < b;
    case JumpOp::kLe:
      return a <= b;
    case JumpOp::kSlt:
      return sa < sb;
    case JumpOp::kSle:
      return sa <= sb;
  }
  return false;
}

uint64_t swapped(unsigned bytes, uint64_t v) {
  uint64_t r = 0;
  for (unsigned i = 0; i < bytes; i++) r |= (v >> (8 * i) & 0xff) << (8 * (bytes - 1 - i));
  return r;
}

}  // namespace

struct Rows::Machine {
  const Image& image;
  const exec::LoadedProgram& program;
  exec::packet::Packet& packet;
  exec::helpers::HelperContext& helper;
  uint64_t regs[kRegisters] = {};
  alignas(16) uint8_t stack[kStackBytes] = {};
  uint8_t context[arch::ebpf::kContextBytes] = {};
  uint64_t latch[5] = {};
  RowRun out{};

  struct Effect {
    int reg = -1;
    uint64_t value = 0;
    uint64_t address = 0;
    unsigned bytes = 0;
    int site = -1;
    std::array<uint64_t, 5> args{};
  };
  std::vector<Effect> effects{};
  int64_t next = 0;  // row to go to, -1: exit
  bool taken = false;
  uint32_t verdict = 0;
  bool verdict_of_call = false;

  uint64_t value(const Operand& o) const {
    const Reg* r = std::get_if<Reg>(&o);
    return r ? regs[*r] : uint64_t(int64_t(std::get<Imm>(o)));
  }
  bool owned(uint64_t at, uint64_t bytes) const {
    const auto inside = [&](const void* low, uint64_t size) {
      const auto l = reinterpret_cast<uint64_t>(low);
      return at >= l && at - l + bytes <= size;
    };
    if (inside(stack, sizeof stack) || inside(context, sizeof context)) return true;
    if (inside(packet.data_meta, uint64_t(packet.data_end - packet.data_meta))) return true;
    for (const auto& lent : helper.lent) {
      if (at >= lent.address && at - lent.address + bytes <= lent.bytes) return true;
    }
    for (const auto& map : program.maps) {
      if (map->owns(reinterpret_cast<void*>(at), bytes)) return true;
    }
    for (const auto& map : helper.held_maps) {
      if (map->owns(reinterpret_cast<void*>(at), bytes)) return true;
    }
    return false;
  }
  uint64_t address(const Memory& m) const {
    switch (m.space) {
      case Space::kRegister:
        return regs[m.base] + uint64_t(int64_t(m.offset));
      case Space::kPacket:
        return reinterpret_cast<uint64_t>(packet.data) + unsigned_offset(m);
      case Space::kStack:
        return reinterpret_cast<uint64_t>(stack) + unsigned_offset(m);
      case Space::kContext:
        return reinterpret_cast<uint64_t>(context) + unsigned_offset(m);
      default:
        return reinterpret_cast<uint64_t>(program.maps[m.map]->values_base()) + unsigned_offset(m);
    }
  }
  void fault(const std::string& what) {
    if (out.fault.empty()) out.fault = what;
  }
  bool read(const Memory& m, uint64_t& v, bool speculative) {
    const uint64_t at = address(m);
    v = 0;
    if (!owned(at, m.bytes)) {
      if (!speculative) fault(fmt::format("row {}: read of {} bytes outside memory", out.path.back(), m.bytes));
      return false;
    }
    std::memcpy(&v, reinterpret_cast<void*>(at), m.bytes);
    return true;
  }
  void set(Reg r, uint64_t v) { effects.push_back({.reg = r, .value = v}); }
  void jump(Row row) { taken = true, next = row; }
  void leave(uint32_t code) { taken = true, next = -1, verdict = code; }
  uint64_t base(Space space, MapIndex map) const {
    switch (space) {
      case Space::kPacket:
        return reinterpret_cast<uint64_t>(packet.data);
      case Space::kPacketEnd:
        return reinterpret_cast<uint64_t>(packet.data_end);
      case Space::kPacketMeta:
        return reinterpret_cast<uint64_t>(packet.data_meta);
      case Space::kPacketBytes:
        return uint64_t(packet.data_end - packet.data);
      case Space::kStack:
        return reinterpret_cast<uint64_t>(stack);
      case Space::kContext:
        return reinterpret_cast<uint64_t>(context);
      case Space::kMapValue:
        return reinterpret_cast<uint64_t>(program.maps[map]->values_base());
      case Space::kMap:
        return reinterpret_cast<uint64_t>(program.maps[map].get());
      default:
        return 0;
    }
  }
  void call(uint16_t index, int reg) {
    Effect e{.reg = reg, .site = index};
    for (size_t i = 0; i < 5; i++) {
      const Argument& a = image.call_sites[index].args[i];
      using Kind = Argument::Kind;
      switch (a.kind) {
        case Kind::kNone:
          break;
        case Kind::kRegister:
          e.args[i] = regs[a.reg];
          break;
        case Kind::kConstant:
          e.args[i] = uint64_t(a.value);
          break;
        case Kind::kStack:
          e.args[i] = base(Space::kStack, 0) + uint64_t(a.value);
          break;
        case Kind::kPacket:
          e.args[i] = base(Space::kPacket, 0) + uint64_t(a.value);
          break;
        case Kind::kContext:
          e.args[i] = base(Space::kContext, 0) + uint64_t(a.value);
          break;
        case Kind::kMap:
          e.args[i] = base(Space::kMap, a.map);
          break;
        case Kind::kMapValue:
          e.args[i] = base(Space::kMapValue, a.map) + uint64_t(a.value);
          break;
        case Kind::kRegisterBytes:
        case Kind::kConstantBytes:
          latch[i] = a.kind == Kind::kRegisterBytes ? regs[a.reg] : uint64_t(a.value);
          e.args[i] = reinterpret_cast<uint64_t>(&latch[i]);
          break;
      }
    }
    effects.push_back(e);
  }
  void lane(const Op& op);
  void commit();
};

void Rows::Machine::lane(const Op& op) {
  std::visit(
      Overloaded{
          [](const Nop&) {},
          [&](const Alu& o) { set(o.dst, alu(o.op, o.width == Width::k64, regs[o.a], value(o.b))); },
          [&](const Move& o) { set(o.dst, o.width == Width::k64 ? value(o.src) : uint32_t(value(o.src))); },
          [&](const MoveHigh& o) { set(o.dst, uint32_t(regs[o.a]) | uint64_t(uint32_t(o.imm)) << 32); },
          [&](const SignExtend& o) {
            const uint64_t v = uint64_t(int64_t(regs[o.src] << (64 - o.bits)) >> (64 - o.bits));
            set(o.dst, o.width == Width::k64 ? v : uint32_t(v));
          },
          [&](const Swap& o) { set(o.dst, swapped(o.bits / 8u, regs[o.src])); },
          [&](const FoldSum& o) {
            uint32_t s = uint32_t(regs[o.a] + value(o.b));
            s = (s & 0xffff) + (s >> 16);
            s = (s & 0xffff) + (s >> 16);
            set(o.dst, (o.invert ? ~s : s) & 0xffff);
          },
          [&](const Select& o) {
            if (holds(o.op, true, regs[o.a], uint64_t(int64_t(o.b)))) set(o.dst, regs[o.value]);
          },
          [&](const Address& o) { set(o.dst, base(o.space, o.map) + uint64_t(int64_t(o.offset))); },
          [&](const Load& o) {
            uint64_t v;
            read(o.from, v, o.speculative);
            if (o.big_endian) v = swapped(o.from.bytes, v);
            if (o.sign_extend) v = uint64_t(int64_t(v << (64 - 8 * o.from.bytes)) >> (64 - 8 * o.from.bytes));
            set(o.dst, v);
          },
          [&](const Store& o) {
            const uint64_t v = value(o.src);
            effects.push_back(
                {.value = o.big_endian ? swapped(o.to.bytes, v) : v, .address = address(o.to), .bytes = o.to.bytes});
          },
          [&](const AddMemory& o) {
            uint64_t v;
            read(o.to, v, false);
            effects.push_back({.value = v + value(o.src), .address = address(o.to), .bytes = o.to.bytes});
          },
          [&](const Atomic& o) {
            uint64_t old;
            read(o.to, old, false);
            const uint64_t mask = o.to.bytes == 8 ? ~uint64_t{0} : 0xffffffff;
            const uint64_t src = regs[o.src];
            uint64_t v = old;
            switch (o.op) {
              case AtomicOp::kAdd:
                v = old + src;
                break;
              case AtomicOp::kOr:
                v = old | src;
                break;
              case AtomicOp::kAnd:
                v = old & src;
                break;
              case AtomicOp::kXor:
                v = old ^ src;
                break;
              case AtomicOp::kXchg:
                v = src;
                break;
              default:
                v = old == (regs[o.expected] & mask) ? src : old;
            }
            effects.push_back({.value = v, .address = address(o.to), .bytes = o.to.bytes});
            if (o.fetch) set(o.dst, old);
          },
          [&](const Branch& o) {
            if (holds(o.op, o.width == Width::k64, regs[o.a], value(o.b))) jump(o.target);
          },
          [&](const BranchPacket& o) {
            const bool fewer = uint64_t(packet.data_end - packet.data) < o.bytes;
            if (fewer != o.at_least) jump(o.target);
          },
          [&](const Goto& o) { jump(o.target); },
          [&](const Call& o) { call(o.site, o.has_result ? o.dst : -1); },
          [&](const CallExit& o) {
            call(o.site, -1);
            verdict_of_call = true;
            leave(0);
          },
          [&](const Exit& o) { leave(o.verdict); },
          [&](const ExitRegister& o) { leave(uint32_t(regs[o.src])); },
      },
      op);
}

void Rows::Machine::commit() {
  for (const Effect& e : effects) {
    if (e.site >= 0) {
      const auto fn = exec::helpers::helper_function(image.call_sites[size_t(e.site)].helper);
      CHECK(fn != nullptr);
      const uint64_t r = fn(helper, e.args[0], e.args[1], e.args[2], e.args[3], e.args[4]);
      if (e.reg >= 0) regs[e.reg] = r;
      if (verdict_of_call) verdict = uint32_t(r);
    } else if (e.reg >= 0) {
      regs[e.reg] = e.value;
    } else if (!owned(e.address, e.bytes)) {
      fault(fmt::format("row {}: write of {} bytes outside memory", out.path.back(), e.bytes));
    } else {
      std::memcpy(reinterpret_cast<void*>(e.address), &e.value, e.bytes);
    }
  }
  effects.clear();
}

Rows::Rows(const Image& image, const exec::LoadedProgram& program) : image_(image), program_(program) {}

RowRun Rows::run(exec::packet::Packet& packet, const exec::RunContext& context) {
  exec::helpers::HelperContext helper;
  helper.packet = &packet;
  helper.program = &program_;
  helper.run = &context;
  helper.state = &helper_state_;
  Machine m{image_, program_, packet, helper};
  helper.stack = reinterpret_cast<uint64_t>(m.stack);
  helper.stack_bytes = sizeof m.stack;
  base::store(m.context + arch::ebpf::kCtxIngressIfindex, packet.ingress_ifindex);
  base::store(m.context + arch::ebpf::kCtxRxQueueIndex, packet.rx_queue);
  base::store(m.context + arch::ebpf::kCtxEgressIfindex, packet.egress_ifindex);
  int64_t row = 0;
  while (row >= 0 && m.out.fault.empty()) {
    if (size_t(row) >= image_.rows.size() || m.out.rows++ > (1u << 22)) {
      m.fault("ran away");
      break;
    }
    m.out.path.push_back(Row(row));
    m.next = row + 1;
    m.taken = false;
    for (const Op& op : image_.rows[size_t(row)].lanes) {
      m.lane(op);
      m.out.operations += !is_nop(op);
      if (m.taken) break;
    }
    m.commit();
    row = m.next;
  }
  m.out.verdict.code = m.verdict;
  if (m.verdict == arch::ebpf::kXdpRedirect) m.out.verdict.redirect = helper.redirect;
  return std::move(m.out);
}

}  // namespace xnic::tests
