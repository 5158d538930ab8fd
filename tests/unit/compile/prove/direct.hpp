// SPDX-License-Identifier: Apache-2.0
// A translation that is right because it is simple: one operation a row, eBPF's registers in r0..r10, jumps as
// branches, every packet access by register. The prover is tested with it before any compiler is involved.
#pragma once

#include <fmt/core.h>

#include <string>
#include <vector>

#include "arch/ebpf/context.hpp"
#include "arch/ebpf/facts.hpp"
#include "arch/ebpf/program.hpp"
#include "arch/hxdp/image.hpp"
#include "base/result.hpp"

namespace xnic::compile::prove::testing {

namespace ebpf = arch::ebpf;
namespace hxdp = arch::hxdp;

class Direct {
 public:
  Direct(const ebpf::Program& program, const ebpf::Facts& facts) : program_(program), facts_(facts) {}

  base::Result<hxdp::Image> run() {
    image_.program = program_.name;
    image_.parameters.rows = hxdp::kMaxRows;
    image_.lines = program_.lines;
    image_.source_insns = uint32_t(program_.insns.size());
    image_.stack_bytes = hxdp::kStackBytes;
    for (const ebpf::MapSpec& map : program_.maps)
      image_.maps.push_back({map.name, map.type, map.key_size, map.value_size, map.max_entries});
    emit(hxdp::Address{hxdp::Space::kStack, 10, 0, 512});
    emit(hxdp::Address{hxdp::Space::kContext, 1, 0, 0});
    std::vector<hxdp::Row> row_of(program_.insns.size());
    for (slot_ = 0; slot_ < program_.insns.size(); slot_++) {
      row_of[slot_] = hxdp::Row(image_.rows.size());
      if (!facts_.insns[slot_].reached) {
        if (!std::holds_alternative<ebpf::WideTail>(program_.insns[slot_])) emit(hxdp::Exit{0});
        continue;
      }
      std::visit(*this, program_.insns[slot_]);
      if (!refused_.empty()) return base::make_error(base::ErrorKind::kUnsupported, "direct", "{}", refused_);
    }
    for (hxdp::Bundle& bundle : image_.rows) {
      const int64_t target = hxdp::branch_target(bundle.lanes[0]);
      if (target >= 0) hxdp::set_branch_target(bundle.lanes[0], row_of[size_t(target)]);
    }
    return std::move(image_);
  }

  void operator()(const ebpf::Binary& o) {
    const hxdp::Reg dst = reg(o.dst);
    if (o.op == ebpf::BinaryOp::kMov) return emit(hxdp::Move{o.width, dst, operand(o.src)});
    static constexpr hxdp::AluOp kOps[] = {hxdp::AluOp::kAdd,  hxdp::AluOp::kSub, hxdp::AluOp::kMul, hxdp::AluOp::kDiv,
                                           hxdp::AluOp::kOr,   hxdp::AluOp::kAnd, hxdp::AluOp::kLsh, hxdp::AluOp::kRsh,
                                           hxdp::AluOp::kMod,  hxdp::AluOp::kXor, hxdp::AluOp::kAdd, hxdp::AluOp::kArsh,
                                           hxdp::AluOp::kSdiv, hxdp::AluOp::kSmod};
    emit(hxdp::Alu{kOps[int(o.op)], o.width, dst, dst, operand(o.src)});
  }
  void operator()(const ebpf::MovSx& o) { emit(hxdp::SignExtend{o.width, o.bits, reg(o.dst), reg(o.src)}); }
  void operator()(const ebpf::Neg& o) {
    emit(hxdp::Alu{hxdp::AluOp::kReverseSub, o.width, reg(o.dst), reg(o.dst), hxdp::Imm{0}});
  }
  void operator()(const ebpf::Swap& o) {
    const hxdp::Reg r = reg(o.dst);
    if (o.kind != ebpf::SwapKind::kToLe) return emit(hxdp::Swap{o.bits, r, r});
    if (o.bits == 16) emit(hxdp::Alu{hxdp::AluOp::kAnd, ebpf::Width::k64, r, r, hxdp::Imm{0xffff}});
    if (o.bits == 32) emit(hxdp::Move{ebpf::Width::k32, r, r});
  }
  void operator()(const ebpf::LoadImm64& o) {
    emit(hxdp::Move{ebpf::Width::k32, reg(o.dst), hxdp::Imm(uint32_t(o.value))});
    emit(hxdp::MoveHigh{reg(o.dst), reg(o.dst), hxdp::Imm(uint32_t(o.value >> 32))});
  }
  void operator()(const ebpf::LoadMap& o) { emit(hxdp::Address{hxdp::Space::kMap, reg(o.dst), o.map, 0}); }
  void operator()(const ebpf::LoadMapValue& o) {
    emit(hxdp::Address{hxdp::Space::kMapValue, reg(o.dst), o.map, hxdp::Imm(o.offset)});
  }
  void operator()(const ebpf::WideTail&) {}
  void operator()(const ebpf::Load& o) {
    const ebpf::RegFact& base = facts_.insns[slot_].regs[size_t(ebpf::index(o.src))];
    if (base.type == ebpf::RegType::kContext) {
      const int64_t offset = base.range.smin + o.offset;
      const hxdp::Space space = offset == ebpf::kCtxData      ? hxdp::Space::kPacket
                                : offset == ebpf::kCtxDataEnd ? hxdp::Space::kPacketEnd
                                                              : hxdp::Space::kPacketMeta;
      if (offset <= ebpf::kCtxDataMeta) return emit(hxdp::Address{space, reg(o.dst), 0, 0});
    }
    emit(hxdp::Load{reg(o.dst), memory(o.src, o.offset, o.size), o.sign_extend, false, false});
  }
  void operator()(const ebpf::Store& o) { emit(hxdp::Store{memory(o.dst, o.offset, o.size), operand(o.src), false}); }
  void operator()(const ebpf::Atomic& o) {
    if (o.op >= ebpf::AtomicOp::kLoadAcquire) return refuse("an ordered access");
    const bool exchange = o.op == ebpf::AtomicOp::kCmpxchg;
    emit(hxdp::Atomic{o.op, o.fetch, memory(o.dst, o.offset, o.size), reg(o.src),
                      hxdp::Reg(!o.fetch   ? 0
                                : exchange ? 0
                                           : reg(o.src)),
                      0});
  }
  void operator()(const ebpf::Jump& o) { emit(hxdp::Branch{o.op, o.width, reg(o.dst), operand(o.src), o.target}); }
  void operator()(const ebpf::Goto& o) { emit(hxdp::Goto{o.target}); }
  void operator()(const ebpf::CallHelper& o) {
    hxdp::CallSite site;
    site.helper = o.id;
    const ebpf::HelperSignature* signature = ebpf::find_helper(o.id);
    for (size_t i = 0; i < 5 && signature && signature->args[i] != ebpf::ArgType::kNone; i++) {
      site.args[i].kind = hxdp::Argument::Kind::kRegister;
      site.args[i].reg = hxdp::Reg(i + 1);
    }
    image_.call_sites.push_back(site);
    emit(hxdp::Call{uint16_t(image_.call_sites.size() - 1), true, 0});
  }
  void operator()(const ebpf::Exit&) { emit(hxdp::ExitRegister{0}); }
  template <class Other>
  void operator()(const Other&) {
    refuse("an instruction that this translation leaves out");
  }

 private:
  static hxdp::Reg reg(ebpf::Reg r) { return hxdp::Reg(ebpf::index(r)); }
  static hxdp::Operand operand(const ebpf::Operand& o) {
    if (const auto* r = std::get_if<ebpf::Reg>(&o)) return reg(*r);
    return hxdp::Imm{std::get<ebpf::Imm>(o)};
  }
  static hxdp::Memory memory(ebpf::Reg base, int16_t offset, ebpf::Size size) {
    return {hxdp::Space::kRegister, reg(base), 0, uint8_t(ebpf::bytes(size)), offset};
  }
  void emit(hxdp::Op op) {
    hxdp::Bundle bundle;
    bundle.lanes[0] = op;
    image_.rows.push_back(bundle);
    image_.slots.emplace_back();
    image_.slots.back().fill(hxdp::kNoSlot);
    image_.slots.back()[0] = slot_;
  }
  void refuse(const char* why) { refused_ = fmt::format("slot {}: {}", slot_, why); }

  const ebpf::Program& program_;
  const ebpf::Facts& facts_;
  hxdp::Image image_;
  ebpf::Slot slot_ = 0;
  std::string refused_;
};

inline base::Result<hxdp::Image> direct(const ebpf::Program& program, const ebpf::Facts& facts) {
  return Direct(program, facts).run();
}

}  // namespace xnic::compile::prove::testing
