// SPDX-License-Identifier: Apache-2.0
// Symbolic execution of single instructions: registers hold values of the graph, stores and calls become effects, loads
// are the stored value where an earlier store on the path covers them.
#include <fmt/format.h>

#include "arch/ebpf/context.hpp"
#include "arch/ebpf/helpers.hpp"
#include "compile/opt/calls.hpp"
#include "compile/opt/lifter.hpp"

namespace xnic::compile::opt {

using namespace arch::ebpf;
using arch::ebpf::Width;

namespace {

AluOp alu_op(BinaryOp op) {
  constexpr AluOp kOps[] = {AluOp::kAdd, AluOp::kSub,  AluOp::kMul,  AluOp::kDiv, AluOp::kOr,
                            AluOp::kAnd, AluOp::kLsh,  AluOp::kRsh,  AluOp::kMod, AluOp::kXor,
                            AluOp::kAdd, AluOp::kArsh, AluOp::kSdiv, AluOp::kSmod};
  return kOps[int(op)];
}

constexpr Loc kBounds{.region = Space::kPacketEnd};
constexpr HelperId kLookupHelper = 1;

}  // namespace

NodeId Lifter::reg(const Env& env, Reg r) {
  const NodeId id = env.regs[size_t(index(r))];
  return id == kNone ? graph_.constant(0) : id;  // registers are zero at start; verified programs never ask
}

NodeId Lifter::operand(const Env& env, const Operand& operand, Width width) {
  if (const Reg* r = std::get_if<Reg>(&operand)) return reg(env, *r);
  const int64_t imm = std::get<arch::ebpf::Imm>(operand);
  return graph_.constant(width == Width::k64 ? uint64_t(imm) : uint32_t(imm));
}

EffectId Lifter::push(Env& env, Effect effect, Slot slot) {
  effect.prev = env.head;
  effect.block = env.block;
  effect.slot = slot;
  graph_.effects.push_back(effect);
  env.head = EffectId(graph_.effects.size() - 1);
  graph_.head = env.head;
  graph_.blocks[env.block].effects.push_back(env.head);
  return env.head;
}

void Lifter::binary(Env& env, const Binary& i) {
  NodeId& dst = env.regs[size_t(index(i.dst))];
  const NodeId src = operand(env, i.src, i.width);
  if (i.op == BinaryOp::kMov) {
    dst = i.width == Width::k64 ? src : graph_.zero_extend(32, src);
    return;
  }
  dst = graph_.alu(alu_op(i.op), i.width, reg(env, i.dst), src);
}

// The stack byte that r10 of frame `frame` is, as the verifier counts frames; -1: there is no such frame.
int64_t Lifter::frame_base(const Env& env, uint32_t frame) const {
  for (size_t i = 0; i < env.frames.size(); i++) {
    // env.frames[i] holds the caller; it is `counted` when the frame that it called counts.
    if (frame == 0) return env.frames[i].stack_base;
    if (env.frames[i].counted) frame--;
  }
  return frame == 0 ? int64_t(env.stack_base) : -1;
}

// The pointer in a register. Where its own history is lost (it came through memory or a join), what the verifier knows
// names the memory and, for a constant offset, the place.
NodeId Lifter::pointer(const Env& env, Reg r, Slot slot) {
  const NodeId value = reg(env, r);
  int64_t map = -1;
  if (graph_.node(value).kind == NodeKind::kAddress || slot >= facts_.insns.size()) return value;
  if (graph_.provenance(value, map) != Space::kRegister) return value;
  const RegFact& fact = facts_.insns[slot].regs[size_t(index(r))];
  if (fact.maybe_null || !fact.range.is_constant()) return value;
  const auto offset = int64_t(fact.range.umin);
  switch (fact.type) {
    case RegType::kContext:
      return graph_.address(Space::kContext, offset);
    case RegType::kPacket:
      return graph_.address(Space::kPacket, offset, -1, graph_.last_alias(env.head, kBounds));
    case RegType::kMap:
      return graph_.address(Space::kMap, 0, fact.map);
    case RegType::kStack:
      if (const int64_t base = frame_base(env, fact.frame); base >= 0)
        return graph_.address(Space::kStack, offset + base);
      return value;
    default:
      return value;
  }
}

Loc Lifter::place(const Env& env, Reg base, int16_t offset, uint32_t bytes, Slot slot) {
  Loc loc = graph_.locate(pointer(env, base, slot), offset, bytes);
  if (loc.region == Space::kRegister && slot < facts_.insns.size()) {
    const RegFact& fact = facts_.insns[slot].regs[size_t(index(base))];
    if (fact.type == RegType::kPacket || fact.type == RegType::kPacketMeta) loc.region = Space::kPacket;
    if (fact.type == RegType::kStack) loc.region = Space::kStack;
    if (fact.type == RegType::kContext) loc.region = Space::kContext;
    if (fact.type == RegType::kMapValue) loc.region = Space::kMapValue, loc.map = fact.map;
  }
  return loc;
}

// The value that `loc` is known to hold: of a store that covers it, or zero for stack that nothing wrote.
NodeId Lifter::forwarded(EffectId head, const Loc& loc, bool zero_extended) {
  if (!options_.forward) return kNone;
  const EffectId id = graph_.last_alias(head, loc);
  const Effect effect = graph_.effects[id];
  if (effect.kind == EffectKind::kEntry) return loc.mode == Space::kStack ? graph_.constant(0) : kNone;
  if (effect.kind != EffectKind::kStore || effect.big) return kNone;
  const Loc& at = effect.loc;
  if (at.mode != loc.mode || at.base != loc.base || at.map != loc.map || at.bytes == 0 || loc.bytes == 0) return kNone;
  if (loc.off < at.off || loc.off + loc.bytes > at.off + at.bytes) return kNone;
  NodeId value = effect.value;
  if (loc.off > at.off)
    value = graph_.alu(AluOp::kRsh, Width::k64, value, graph_.constant(8 * uint64_t(loc.off - at.off)));
  return zero_extended ? graph_.zero_extend(uint8_t(8 * loc.bytes), value) : value;
}

base::Result<void> Lifter::load(Env& env, const Load& i, Slot slot) {
  NodeId& dst = env.regs[size_t(index(i.dst))];
  const Loc loc = place(env, i.src, i.offset, bytes(i.size), slot);
  if (loc.region == Space::kContext && loc.mode != Space::kContext)
    return refuse(base::ErrorKind::kUnsupported, slot, "a context pointer that is not known here");
  if (loc.mode == Space::kContext && loc.off <= kCtxDataMeta) {
    const Space which = loc.off == kCtxData      ? Space::kPacket
                        : loc.off == kCtxDataEnd ? Space::kPacketEnd
                                                 : Space::kPacketMeta;
    dst = graph_.address(which, 0, -1, graph_.last_alias(env.head, kBounds));
    return {};
  }
  NodeId value = forwarded(env.head, loc, true);
  if (value != kNone) {
    dst = i.sign_extend ? graph_.sext(Width::k64, uint8_t(8 * bytes(i.size)), value) : value;
    return {};
  }
  dst = graph_.load(loc, i.sign_extend, false, graph_.last_alias(env.head, loc));
  return {};
}

void Lifter::store(Env& env, const Store& i, Slot slot) {
  Effect effect{.kind = EffectKind::kStore};
  effect.loc = place(env, i.dst, i.offset, bytes(i.size), slot);
  effect.value = operand(env, i.src, Width::k64);
  // A mask that keeps at least the stored bytes does nothing here.
  while (options_.fold) {
    const Node& n = graph_.node(effect.value);
    const uint64_t kept = effect.loc.bytes == 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * effect.loc.bytes)) - 1;
    if (n.kind != NodeKind::kAlu || n.op != AluOp::kAnd || !graph_.is_const(n.b) ||
        (graph_.const_of(n.b) & kept) != kept)
      break;
    effect.value = n.a;
  }
  push(env, effect, slot);
}

base::Result<void> Lifter::atomic(Env& env, const Atomic& i, Slot slot) {
  if (i.op == AtomicOp::kLoadAcquire) return load(env, {i.size, false, i.dst, i.src, i.offset}, slot);
  if (i.op == AtomicOp::kStoreRelease) return store(env, {i.size, i.dst, i.offset, i.src}, slot), base::Result<void>{};
  Effect effect{.kind = EffectKind::kAtomic};
  effect.loc = place(env, i.dst, i.offset, bytes(i.size), slot);
  effect.value = reg(env, i.src);
  effect.op = i.op;
  effect.fetch = i.fetch;
  if (i.op == AtomicOp::kAdd && !i.fetch) effect.kind = EffectKind::kAdd;
  if (effect.kind == EffectKind::kAtomic && effect.loc.mode != Space::kRegister) {
    // The general form takes its address from a register.
    effect.loc.mode = Space::kRegister;
    effect.loc.base = reg(env, i.dst);
    effect.loc.off = i.offset;
  }
  if (i.op == AtomicOp::kCmpxchg) effect.expected = reg(env, Reg::kR0);
  const EffectId id = push(env, effect, slot);
  if (effect.fetch) {
    const NodeId old = graph_.result(id, -1);
    graph_.effects[id].result = old;
    env.regs[i.op == AtomicOp::kCmpxchg ? 0 : size_t(index(i.src))] = old;
  }
  return {};
}

// Short keys and values whose bytes are known need no memory. Pre: a look-up, update or deletion. Key and value may
// stand at one address and have different sizes, so an argument is replaced only if all of its own bytes are known.
void Lifter::pass_bytes(const Env& env, CallInfo& info) {
  const Node& m = graph_.node(info.args[0].node);
  if (m.kind != NodeKind::kAddress || m.space != Space::kMap) return;
  const MapSpec& spec = program_.maps[size_t(m.map)];
  std::vector<Loc> reads;
  for (const Loc& loc : info.reads) {
    const bool whole = loc.bytes == 1 || loc.bytes == 2 || loc.bytes == 4 || loc.bytes == 8;
    const NodeId value = whole && loc.mode == Space::kStack ? forwarded(env.head, loc, false) : kNone;
    if (value == kNone) {
      reads.push_back(loc);
      continue;
    }
    for (size_t arg : {1u, 2u}) {
      CallArg& a = info.args[arg];
      if (a.node == kNone || a.bytes || !(graph_.locate(a.node, 0, arg == 1 ? spec.key_size : spec.value_size) == loc))
        continue;
      a = {value, true};
    }
  }
  info.reads = reads;
}

// The index of a look-up in an array, where it is known; kNone: no such look-up.
NodeId Lifter::array_index(const CallInfo& info) const {
  if (info.helper != kLookupHelper || !info.args[1].bytes) return kNone;
  const Node& m = graph_.node(info.args[0].node);
  if (m.kind != NodeKind::kAddress || m.space != Space::kMap) return kNone;
  const MapType type = program_.maps[size_t(m.map)].type;
  return type == kMapArray || type == kMapPercpuArray ? info.args[1].node : kNone;
}

// A look-up in an array is its address computation. With a constant index that is no operation at all; it is kNone
// when the index is beyond the array, or varies.
NodeId Lifter::constant_element(const CallInfo& info) {
  const NodeId index = array_index(info);
  if (index == kNone || !graph_.is_const(index)) return kNone;
  const int64_t map = graph_.node(info.args[0].node).map;
  const MapSpec& spec = program_.maps[size_t(map)];
  const uint64_t element = uint32_t(graph_.const_of(index)), stride = (uint64_t{spec.value_size} + 7) / 8 * 8;
  if (spec.type != kMapArray || element >= spec.max_entries || element * stride > INT32_MAX) return kNone;
  return graph_.address(Space::kMapValue, int64_t(element * stride), map);
}

// The value is what a look-up in an array found, and its index can only be one that the array has.
bool Lifter::always_found(NodeId id) const {
  const Node& n = graph_.node(id);
  if (n.kind != NodeKind::kCall || !options_.array_lookups) return false;
  const CallInfo& info = graph_.calls[n.site];
  const NodeId index = array_index(info);
  if (index == kNone) return false;
  const uint32_t entries = program_.maps[size_t(graph_.node(info.args[0].node).map)].max_entries;
  const uint8_t bits = graph_.used_bits(index);
  if (graph_.is_const(index)) return uint32_t(graph_.const_of(index)) < entries;
  return bits < 32 && uint32_t{1} << bits <= entries;
}

base::Result<void> Lifter::call(Env& env, const CallHelper& i, Slot slot) {
  const HelperSignature* signature = find_helper(i.id);
  if (signature == nullptr || signature->status != HelperStatus::kImplemented)
    return refuse(base::ErrorKind::kUnsupported, slot, fmt::format("helper {} is not on the card", helper_name(i.id)));
  if (signature->ret == RetType::kNever)
    return refuse(base::ErrorKind::kUnsupported, slot, "tail calls: an hXDP image holds one program");
  CallInfo info{.helper = i.id};
  for (size_t arg = 0; arg < 5; arg++) {
    if (signature->args[arg] == ArgType::kCallback)
      return refuse(base::ErrorKind::kUnsupported, slot, "callbacks: the helper module cannot run code of the core");
    if (signature->args[arg] != ArgType::kNone) info.args[arg].node = pointer(env, Reg(arg + 1), slot);
  }
  describe_call(graph_, info);
  if (options_.bytes_arguments && i.id <= 3) pass_bytes(env, info);
  // A floating call may run before the checks that guard it: its memory must then be there in any case.
  for (size_t arg = 0; arg < 5 && info.pure; arg++) {
    const CallArg& a = info.args[arg];
    if (a.node == kNone || a.bytes) continue;
    const ArgType type = signature->args[arg];
    const bool number = type == ArgType::kAnything || type == ArgType::kSize || type == ArgType::kSizeOrZero ||
                        type == ArgType::kContext;
    const Node& n = graph_.node(a.node);
    const bool fixed = n.kind == NodeKind::kConst ||
                       (n.kind == NodeKind::kAddress && (n.space == Space::kStack || n.space == Space::kMap));
    if (!number && !fixed) info.pure = false;
    if ((type == ArgType::kSize || type == ArgType::kSizeOrZero) && n.kind != NodeKind::kConst) info.pure = false;
  }
  graph_.calls.push_back(info);
  const auto index = uint32_t(graph_.calls.size() - 1);
  NodeId result;
  if (info.pure) {
    EffectId token = env.head;
    const auto touches = [&](const Effect& e) {
      for (const Loc& loc : info.reads) {
        if (graph_.writes(e, loc)) return true;
      }
      return e.kind == EffectKind::kEntry;
    };
    while (!touches(graph_.effects[token])) token = graph_.effects[token].prev;
    result = options_.array_lookups ? constant_element(info) : kNone;
    if (result == kNone) result = graph_.pure_call(index, token, 0);
  } else {
    Effect effect{.kind = EffectKind::kCall, .call = index};
    const EffectId id = push(env, effect, slot);
    int64_t map = -1;
    const CallArg& first = info.args[0];
    if (i.id == 1 && first.node != kNone) {
      const Node& m = graph_.node(first.node);
      if (m.kind == NodeKind::kAddress && m.space == Space::kMap) {
        const uint32_t type = program_.maps[size_t(m.map)].type;
        if (type != kMapArrayOfMaps && type != kMapHashOfMaps) map = m.map;
      }
    }
    result = graph_.result(id, map);
    graph_.effects[id].result = result;
  }
  env.regs[0] = result;
  for (size_t r = 1; r <= 5; r++) env.regs[r] = kNone;
  return {};
}

base::Result<void> Lifter::insn(Env& env, Slot slot) {
  graph_.at_slot = slot;
  const auto unsupported = [&](const char* what) {
    return base::Result<void>(refuse(base::ErrorKind::kUnsupported, slot, what));
  };
  const auto set = [&](Reg dst, NodeId value) {
    env.regs[size_t(index(dst))] = value;
    return base::Result<void>{};
  };
  return std::visit(
      Overloaded{
          [&](const Binary& i) { return binary(env, i), base::Result<void>{}; },
          [&](const MovSx& i) { return set(i.dst, graph_.sext(i.width, i.bits, reg(env, i.src))); },
          [&](const Neg& i) {
            return set(i.dst, graph_.alu(AluOp::kSub, i.width, graph_.constant(0), reg(env, i.dst)));
          },
          [&](const Swap& i) {
            const NodeId value = reg(env, i.dst);
            return set(i.dst,
                       i.kind == SwapKind::kToLe ? graph_.zero_extend(i.bits, value) : graph_.swap(i.bits, value));
          },
          [&](const LoadImm64& i) { return set(i.dst, graph_.constant(i.value)); },
          [&](const LoadMap& i) { return set(i.dst, graph_.address(Space::kMap, 0, i.map)); },
          [&](const LoadMapValue& i) { return set(i.dst, graph_.address(Space::kMapValue, i.offset, i.map)); },
          [&](const WideTail&) { return base::Result<void>{}; }, [&](const Load& i) { return load(env, i, slot); },
          [&](const Store& i) { return store(env, i, slot), base::Result<void>{}; },
          [&](const Atomic& i) { return atomic(env, i, slot); },
          [&](const CallHelper& i) { return call(env, i, slot); },
          [&](const LoadFunction& i) { return set(i.dst, graph_.constant(kFunctionTag << 32 | i.target)); },
          [&](const LoadKernelVariable&) { return unsupported("kernel variables: the card has no kernel"); },
          [&](const LoadPacket&) {
            return unsupported("legacy packet loads: the verifier refuses them to XDP programs");
          },
          [&](const CallKernel&) { return unsupported("kernel functions: the card has no kernel"); },
          [&](const auto&) { return base::Result<void>{}; },  // jumps, exits and calls of functions end blocks
      },
      program_.insns[slot]);
}

}  // namespace xnic::compile::opt
