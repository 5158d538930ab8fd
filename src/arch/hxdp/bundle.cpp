// SPDX-License-Identifier: Apache-2.0
// The hardware rules of a row and between rows. One function a rule, so that a message names exactly one.
#include "arch/hxdp/bundle.hpp"

#include <fmt/format.h>

#include "arch/hxdp/image.hpp"

namespace xnic::arch::hxdp {

namespace {

using ebpf::Overloaded;

struct Checker {
  const Image& image;
  std::vector<RuleViolation> found;
  Row row = 0;
  uint32_t lane = 0;

  template <class... Args>
  void report(Rule rule, fmt::format_string<Args...> format, Args&&... args) {
    found.push_back({rule, row, lane, fmt::format(format, std::forward<Args>(args)...)});
  }

  void reg(Reg number) {
    if (number >= kRegisters) report(Rule::kRegisterField, "register {} of {}", number, kRegisters);
  }
  void operand(const Operand& value) {
    if (const Reg* number = std::get_if<Reg>(&value)) reg(*number);
  }
  void map(MapIndex index) {
    if (index >= image.maps.size() || index >= kMaxMaps)
      report(Rule::kMapField, "map {} of {}", index, image.maps.size());
  }
  void memory(const Memory& m, bool immediate) {
    const bool size_ok = m.bytes == 1 || m.bytes == 2 || m.bytes == 4 || m.bytes == 6 || m.bytes == 8;
    if (!size_ok) report(Rule::kMemoryForm, "an access of {} bytes", m.bytes);
    switch (m.space) {
      case Space::kRegister:
        reg(m.base);
        break;
      case Space::kStack:
        if (unsigned_offset(m) + m.bytes > kStackBytes)
          report(Rule::kMemoryForm, "stack bytes {}..{} of {}", unsigned_offset(m), unsigned_offset(m) + m.bytes,
                 kStackBytes);
        break;
      case Space::kPacket:
      case Space::kContext:
        break;
      case Space::kMapValue:
        map(m.map);
        if (immediate) report(Rule::kMemoryForm, "a store of an immediate has no room for the map");
        break;
      default:
        report(Rule::kMemoryForm, "the space has no memory port");
    }
    if (m.space != Space::kRegister && m.base != 0) report(Rule::kMemoryForm, "a base register in a direct space");
    if (m.space != Space::kMapValue && m.map != 0) report(Rule::kMemoryForm, "a map outside map memory");
  }
  void target(Row to) {
    if (to >= image.rows.size()) report(Rule::kTarget, "branch to row {} of {}", to, image.rows.size());
  }
  void site(uint16_t index);
  void fields(const Op& op);
  void bundle(const Bundle& bundle);
};

void Checker::site(uint16_t index) {
  if (index >= image.call_sites.size()) {
    report(Rule::kCallSite, "call site {} of {}", index, image.call_sites.size());
    return;
  }
  for (const Argument& arg : image.call_sites[index].args) {
    using Kind = Argument::Kind;
    if (arg.kind == Kind::kRegister || arg.kind == Kind::kRegisterBytes) reg(arg.reg);
    if (arg.kind == Kind::kMap || arg.kind == Kind::kMapValue) map(arg.map);
    if (arg.kind == Kind::kStack && (arg.value < 0 || arg.value > kStackBytes))
      report(Rule::kCallSite, "argument at stack byte {}", arg.value);
  }
}

void Checker::fields(const Op& op) {
  if (int dst = written_register(op); dst >= 0) reg(static_cast<Reg>(dst));
  std::visit(Overloaded{[&](const Alu& o) { reg(o.a), operand(o.b); }, [&](const Move& o) { operand(o.src); },
                        [&](const MoveHigh& o) { reg(o.a); },
                        [&](const SignExtend& o) {
                          reg(o.src);
                          if ((o.bits != 8 && o.bits != 16 && o.bits != 32) || (o.bits == 32 && o.width == Width::k32))
                            report(Rule::kOperand, "sign extension from {} bits", o.bits);
                        },
                        [&](const Swap& o) {
                          reg(o.src);
                          if (o.bits != 16 && o.bits != 32 && o.bits != 64)
                            report(Rule::kOperand, "swap of {} bits", o.bits);
                        },
                        [&](const FoldSum& o) { reg(o.a), operand(o.b); },
                        [&](const Select& o) {
                          reg(o.a), reg(o.value);
                          if (o.b != int16_t(o.b)) report(Rule::kOperand, "select compares with {}, 16 bits fit", o.b);
                        },
                        [&](const Address& o) {
                          if (o.space == Space::kRegister) report(Rule::kOperand, "an address without a space");
                          if (o.space == Space::kMapValue || o.space == Space::kMap) map(o.map);
                        },
                        [&](const Load& o) {
                          memory(o.from, false);
                          if (o.sign_extend && o.from.bytes > 4)
                            report(Rule::kMemoryForm, "sign extension of a long load");
                        },
                        [&](const Store& o) {
                          operand(o.src);
                          const bool immediate = std::holds_alternative<Imm>(o.src);
                          memory(o.to, immediate);
                          if (immediate && o.big_endian)
                            report(Rule::kMemoryForm, "a big-endian store of an immediate");
                        },
                        [&](const AddMemory& o) {
                          operand(o.src);
                          memory(o.to, std::holds_alternative<Imm>(o.src));
                          if (o.to.bytes != 4 && o.to.bytes != 8)
                            report(Rule::kMemoryForm, "an addition of {} bytes", o.to.bytes);
                        },
                        [&](const Atomic& o) {
                          memory(o.to, false), reg(o.src), reg(o.expected);
                          if (o.to.space != Space::kRegister || (o.to.bytes != 4 && o.to.bytes != 8) ||
                              o.op > AtomicOp::kCmpxchg || (o.op >= AtomicOp::kXchg && !o.fetch))
                            report(Rule::kMemoryForm, "an atomic of this form");
                        },
                        [&](const Branch& o) { reg(o.a), operand(o.b), target(o.target); },
                        [&](const BranchPacket& o) { target(o.target); }, [&](const Goto& o) { target(o.target); },
                        [&](const Call& o) { site(o.site); }, [&](const CallExit& o) { site(o.site); },
                        [&](const ExitRegister& o) { reg(o.src); }, [](const auto&) {}},
             op);
}

void Checker::bundle(const Bundle& bundle) {
  uint32_t written = 0;
  bool called = false;
  for (lane = 0; lane < kMaxLanes; lane++) {
    const Op& op = bundle.lanes[lane];
    if (is_nop(op)) continue;
    if (lane >= image.parameters.lanes) report(Rule::kLaneInUse, "an operation in lane {}", lane);
    fields(op);
    if (int dst = written_register(op); dst >= 0 && dst < int(kRegisters)) {
      if (written & (1u << dst)) report(Rule::kOneWriter, "r{} is written twice", dst);
      written |= 1u << dst;
    }
    if (is_call(op)) {
      if (called) report(Rule::kOneCall, "a second call");
      called = true;
    }
  }
}

// Forwarding::kLane: what row `from` writes must be read in row `to` by the same lane only.
void check_forwarding(Checker& checker, Row from, Row to) {
  const Image& image = checker.image;
  for (uint32_t writer = 0; writer < kMaxLanes; writer++) {
    const int dst = written_register(image.rows[from].lanes[writer]);
    if (dst < 0) continue;
    for (uint32_t reader = 0; reader < kMaxLanes; reader++) {
      if (reader == writer) continue;
      if (!(read_registers(image.rows[to].lanes[reader], image.call_sites) & (1u << dst))) continue;
      checker.row = to;
      checker.lane = reader;
      checker.report(Rule::kForwarding, "r{} was written by lane {} in the row before", dst, writer);
    }
  }
}

bool goes_on(const Bundle& bundle) {
  for (const Op& op : bundle.lanes) {
    if (ends_row(op)) return false;
  }
  return true;
}

}  // namespace

std::string_view rule_name(Rule rule) {
  constexpr std::string_view kNames[] = {"lane in use", "one call",    "one writer", "register field",
                                         "target",      "memory form", "operand",    "call site",
                                         "map field",   "falls off",   "forwarding", "image size"};
  return kNames[static_cast<size_t>(rule)];
}

std::vector<RuleViolation> check(const Bundle& bundle, Row row, const Image& image) {
  Checker checker{.image = image, .found = {}, .row = row};
  checker.bundle(bundle);
  return std::move(checker.found);
}

std::vector<RuleViolation> check(const Image& image) {
  Checker checker{.image = image, .found = {}};
  const Parameters& parameters = image.parameters;
  if (image.rows.empty() || image.rows.size() > parameters.rows)
    checker.report(Rule::kImageSize, "{} rows, the instruction memory has {}", image.rows.size(), parameters.rows);
  if (image.call_sites.size() > kMaxCallSites)
    checker.report(Rule::kImageSize, "{} call sites, the call table has {}", image.call_sites.size(), kMaxCallSites);
  if (image.slots.size() != image.rows.size())
    checker.report(Rule::kImageSize, "{} rows of sources for {} rows", image.slots.size(), image.rows.size());
  for (Row row = 0; row < image.rows.size(); row++) {
    checker.row = row;
    checker.bundle(image.rows[row]);
  }
  if (!checker.found.empty()) return std::move(checker.found);  // the rest follows targets and call sites
  for (Row row = 0; row < image.rows.size(); row++) {
    checker.row = row;
    checker.lane = 0;
    const bool falls = goes_on(image.rows[row]);
    if (falls && row + 1 == image.rows.size()) checker.report(Rule::kFallsOff, "the last row goes on");
    if (parameters.forwarding == Forwarding::kFull) continue;
    if (falls && row + 1 < image.rows.size()) check_forwarding(checker, row, row + 1);
    for (const Op& op : image.rows[row].lanes) {
      if (int64_t to = branch_target(op); to >= 0) check_forwarding(checker, row, static_cast<Row>(to));
    }
  }
  return std::move(checker.found);
}

}  // namespace xnic::arch::hxdp
