// SPDX-License-Identifier: Apache-2.0
// From instruction values to the flat array of operations. Done once at load, so that running needs no look-up.
#include "exec/interp/machine.hpp"

namespace xnic::exec::interp {
namespace {

using namespace arch::ebpf;
using base::ErrorKind;

class Translator {
 public:
  Translator(std::span<const Instruction> insns, const LoadedProgram* loaded, bool checked, Code& code)
      : insns_(insns), loaded_(loaded), checked_(checked), code_(code) {}

  base::Result<void> run() {
    // One trap behind the end, for programs that fall off it.
    code_.ops.assign(insns_.size() + 1, Op{});
    for (Op& op : code_.ops) op.handler = trap;
    for (slot_ = 0; slot_ < insns_.size(); ++slot_) {
      op_ = &code_.ops[slot_];
      base::Result<void> done = std::visit([this](const auto& insn) { return translate(insn); }, insns_[slot_]);
      if (done && op_->handler == nullptr) done = unsupported("this width or size of the instruction does not exist");
      if (done) continue;
      if (!proved_dead()) return done;
      *op_ = Op{};
      op_->handler = trap;
    }
    return {};
  }

 private:
  // The verifier showed that no path reaches the slot: what it holds needn't work.
  bool proved_dead() const {
    return loaded_ != nullptr && loaded_->facts != nullptr && slot_ < loaded_->facts->insns.size() &&
           !loaded_->facts->insns[slot_].reached;
  }
  base::Unexpected unsupported(std::string_view why) const {
    return base::make_error(ErrorKind::kUnsupported, fmt::format("insn {}", slot_), "{}", why);
  }
  void registers(Reg dst, Reg src) {
    op_->dst = static_cast<uint8_t>(index(dst));
    op_->src = static_cast<uint8_t>(index(src));
  }
  void source(Reg dst, const Operand& src) {
    op_->dst = static_cast<uint8_t>(index(dst));
    if (const Reg* reg = std::get_if<Reg>(&src)) {
      op_->src = static_cast<uint8_t>(index(*reg));
    } else {
      op_->imm = static_cast<uint64_t>(int64_t{std::get<Imm>(src)});
    }
  }
  base::Result<void> aim(Slot target) {
    if (target >= insns_.size())
      return base::make_error(ErrorKind::kBadInput, fmt::format("insn {}", slot_), "jump to slot {} of {}", target,
                              insns_.size());
    op_->target = &code_.ops[target];
    return {};
  }
  base::Result<void> constant(Reg dst, uint64_t value) {
    op_->handler = load_constant;
    op_->dst = static_cast<uint8_t>(index(dst));
    op_->imm = value;
    return {};
  }
  base::Result<maps::Map*> map_at(MapIndex map) const {
    if (loaded_ == nullptr || map >= loaded_->maps.size()) return unsupported("there is no such map");
    return loaded_->maps[map].get();
  }

  base::Result<void> translate(const Binary& insn) {
    op_->handler = handler_of(insn);
    source(insn.dst, insn.src);
    return {};
  }
  base::Result<void> translate(const MovSx& insn) {
    op_->handler = handler_of(insn);
    registers(insn.dst, insn.src);
    return {};
  }
  base::Result<void> translate(const Neg& insn) {
    op_->handler = handler_of(insn);
    registers(insn.dst, insn.dst);
    return {};
  }
  base::Result<void> translate(const Swap& insn) {
    op_->handler = handler_of(insn);
    registers(insn.dst, insn.dst);
    return {};
  }
  base::Result<void> translate(const LoadImm64& insn) { return constant(insn.dst, insn.value); }
  base::Result<void> translate(const LoadMap& insn) {
    XNIC_ASSIGN(maps::Map * map, map_at(insn.map));
    return constant(insn.dst, reinterpret_cast<uint64_t>(map));
  }
  base::Result<void> translate(const LoadMapValue& insn) {
    XNIC_ASSIGN(maps::Map * map, map_at(insn.map));
    uint8_t* base = map->values_base();
    if (base == nullptr) return unsupported("the map's values have no fixed address");
    return constant(insn.dst, reinterpret_cast<uint64_t>(base + insn.offset));
  }
  base::Result<void> translate(const LoadFunction& insn) {
    return constant(insn.dst, helpers::function_value(insn.target));
  }
  base::Result<void> translate(const LoadKernelVariable&) {
    return unsupported("kernel variables (ksyms) do not exist on the card");
  }
  base::Result<void> translate(const WideTail&) { return {}; }
  base::Result<void> translate(const LoadPacket& insn) {
    op_->handler = handler_of(insn);
    op_->src = static_cast<uint8_t>(index(insn.src));
    op_->imm = static_cast<uint64_t>(int64_t{insn.offset});
    return {};
  }
  base::Result<void> translate(const Load& insn) {
    op_->handler = handler_of(insn, checked_);
    op_->offset = insn.offset;
    registers(insn.dst, insn.src);
    return {};
  }
  base::Result<void> translate(const Store& insn) {
    op_->handler = handler_of(insn, checked_);
    op_->offset = insn.offset;
    source(insn.dst, insn.src);
    return {};
  }
  base::Result<void> translate(const Atomic& insn) {
    op_->handler = handler_of(insn, checked_);
    op_->offset = insn.offset;
    registers(insn.dst, insn.src);
    return {};
  }
  base::Result<void> translate(const Jump& insn) {
    op_->handler = handler_of(insn);
    source(insn.dst, insn.src);
    return aim(insn.target);
  }
  base::Result<void> translate(const Goto& insn) {
    op_->handler = go_to;
    return aim(insn.target);
  }
  base::Result<void> translate(const MayGoto& insn) {
    op_->handler = may_goto;
    return aim(insn.target);
  }
  base::Result<void> translate(const CallHelper& insn) {
    op_->imm = insn.id;
    if (loaded_ == nullptr) {
      if (!code_.extra.contains(insn.id)) return unsupported(fmt::format("there is no helper {}", insn.id));
      op_->handler = call_extra;
      return {};
    }
    op_->function = helpers::helper_function(insn.id);
    if (op_->function == nullptr) return unsupported(fmt::format("helper {} is not implemented", insn.id));
    constexpr uint32_t kTailCall = 12;
    op_->handler = insn.id == kTailCall ? call_tail : (checked_ ? call_helper_checked : call_helper);
    return {};
  }
  base::Result<void> translate(const CallLocal& insn) {
    op_->handler = call_local;
    return aim(insn.target);
  }
  base::Result<void> translate(const CallKernel& insn) {
    return unsupported(fmt::format("kernel function (BTF id {}) is not implemented", insn.btf_id));
  }
  base::Result<void> translate(const CallRegister& insn) {
    if (loaded_ != nullptr) return unsupported("callx is for conformance suites only");
    op_->handler = call_register;
    op_->dst = static_cast<uint8_t>(index(insn.reg));
    return {};
  }
  base::Result<void> translate(const Exit&) {
    op_->handler = exit_frame;
    return {};
  }

  std::span<const Instruction> insns_;
  const LoadedProgram* loaded_;
  bool checked_;
  Code& code_;
  Slot slot_ = 0;
  Op* op_ = nullptr;
};

}  // namespace

base::Result<void> translate(std::span<const Instruction> insns, const LoadedProgram* loaded, bool checked,
                             Code& code) {
  code.loaded = loaded;
  return Translator(insns, loaded, checked, code).run();
}

}  // namespace xnic::exec::interp
