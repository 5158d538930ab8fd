// SPDX-License-Identifier: Apache-2.0
// Each operation is first reduced to its ports: registers read and written, memory operand, branch target, call site.
// A rule is then one statement about the ports of a row, or of two rows that may follow one another.
#include "exec/sim/hxdp/rules.hpp"

#include <bit>
#include <optional>

#include "arch/ebpf/helpers.hpp"
#include "arch/hxdp/latency.hpp"
#include "exec/helpers/helper_context.hpp"

namespace xnic::exec::sim::hxdp {
namespace {

using arch::ebpf::Overloaded;
using base::ErrorKind;

struct Ports {
  std::vector<uint32_t> reads;
  std::optional<uint32_t> write;
  const isa::Memory* memory = nullptr;
  bool memory_immediate = false;
  std::optional<uint32_t> target;
  std::optional<uint32_t> site;
  bool last = false;            // nothing behind it is reached
  const char* wrong = nullptr;  // what no field of the word can hold, or no unit can do

  void read(const isa::Operand& operand) {
    if (const auto* reg = std::get_if<isa::Reg>(&operand)) reads.push_back(*reg);
  }
  void access(const isa::Memory& operand) {
    memory = &operand;
    if (operand.space == isa::Space::kRegister) reads.push_back(operand.base);
  }
};

Ports ports_of(const isa::Op& op) {
  Ports p;
  const auto width_4_8 = [](const isa::Memory& m) { return m.bytes == 4 || m.bytes == 8; };
  std::visit(Overloaded{[](const isa::Nop&) {},
                        [&](const isa::Alu& o) { p.reads = {o.a}, p.read(o.b), p.write = o.dst; },
                        [&](const isa::Move& o) { p.read(o.src), p.write = o.dst; },
                        [&](const isa::MoveHigh& o) { p.reads = {o.a}, p.write = o.dst; },
                        [&](const isa::SignExtend& o) {
                          p.reads = {o.src}, p.write = o.dst;
                          const bool narrow = o.bits == 8 || o.bits == 16;
                          if (!narrow && !(o.bits == 32 && o.width == isa::Width::k64))
                            p.wrong = "sign extension of this width";
                        },
                        [&](const isa::Swap& o) {
                          p.reads = {o.src}, p.write = o.dst;
                          if (o.bits != 16 && o.bits != 32 && o.bits != 64) p.wrong = "byte swap of this width";
                        },
                        [&](const isa::FoldSum& o) { p.reads = {o.a}, p.read(o.b), p.write = o.dst; },
                        [&](const isa::Select& o) {
                          p.reads = {o.dst, o.a, o.value}, p.write = o.dst;
                          if (o.b < -32768 || o.b > 32767) p.wrong = "select's immediate has 16 bits";
                        },
                        [&](const isa::Address& o) {
                          p.write = o.dst;
                          if (o.space == isa::Space::kRegister) p.wrong = "an address needs a memory";
                        },
                        [&](const isa::Load& o) {
                          p.access(o.from), p.write = o.dst;
                          if (o.sign_extend && o.from.bytes > 4) p.wrong = "sign extension above 4 bytes";
                        },
                        [&](const isa::Store& o) {
                          p.access(o.to), p.read(o.src);
                          p.memory_immediate = std::holds_alternative<isa::Imm>(o.src);
                          if (p.memory_immediate && o.big_endian) p.wrong = "a store of an immediate has no byte order";
                        },
                        [&](const isa::AddMemory& o) {
                          p.access(o.to), p.read(o.src);
                          p.memory_immediate = std::holds_alternative<isa::Imm>(o.src);
                          if (!width_4_8(o.to)) p.wrong = "memory addition takes 4 or 8 bytes";
                        },
                        [&](const isa::Atomic& o) {
                          p.access(o.to), p.reads.push_back(o.src);
                          if (o.op == isa::AtomicOp::kCmpxchg) p.reads.push_back(o.expected);
                          if (o.fetch) p.write = o.dst;
                          const bool exchange = o.op == isa::AtomicOp::kXchg || o.op == isa::AtomicOp::kCmpxchg;
                          if (o.op > isa::AtomicOp::kCmpxchg) p.wrong = "no such atomic";
                          if (!width_4_8(o.to) || o.to.space != isa::Space::kRegister)
                            p.wrong = "atomics take 4 or 8 bytes at a register";
                          if (exchange && !o.fetch) p.wrong = "an exchange gives the old value";
                        },
                        [&](const isa::Branch& o) { p.reads = {o.a}, p.read(o.b), p.target = o.target; },
                        [&](const isa::BranchPacket& o) { p.target = o.target; },
                        [&](const isa::Goto& o) { p.target = o.target, p.last = true; },
                        [&](const isa::Call& o) {
                          p.site = o.site;
                          if (o.has_result) p.write = o.dst;
                        },
                        [&](const isa::CallExit& o) { p.site = o.site, p.last = true; },
                        [&](const isa::Exit&) { p.last = true; },
                        [&](const isa::ExitRegister& o) { p.reads = {o.src}, p.last = true; }},
             op);
  return p;
}

class Rules {
 public:
  explicit Rules(const isa::Image& image) : image_(image) {}

  base::Result<void> run() {
    XNIC_TRY(sizes());
    XNIC_TRY(call_table());
    ports_.resize(image_.rows.size());
    for (row_ = 0; row_ < image_.rows.size(); ++row_) XNIC_TRY(row());
    for (row_ = 0; row_ < image_.rows.size(); ++row_) XNIC_TRY(successors());
    return {};
  }

 private:
  template <class... Args>
  base::Unexpected broken(fmt::format_string<Args...> format, Args&&... args) const {
    return base::make_error(ErrorKind::kBadInput, fmt::format("row {} lane {}", row_, lane_), format,
                            std::forward<Args>(args)...);
  }

  base::Result<void> sizes() const {
    const isa::Parameters& p = image_.parameters;
    const auto no = [](std::string why) { return base::make_error(ErrorKind::kBadInput, "image", "{}", why); };
    if (p.lanes == 0 || p.lanes > isa::kMaxLanes) return no(fmt::format("{} lanes", p.lanes));
    if (!std::has_single_bit(p.frame_bytes) || p.frame_bytes < 8 || p.frame_bytes > 256)
      return no(fmt::format("frames of {} bytes", p.frame_bytes));
    if (p.cores == 0 || p.cores > 64) return no(fmt::format("{} cores", p.cores));
    if (p.clock_hz == 0) return no("a clock of 0 Hz");
    if (p.rows == 0 || p.rows > isa::kMaxRows) return no(fmt::format("an instruction memory of {} rows", p.rows));
    if (image_.rows.empty()) return no("no rows");
    if (image_.rows.size() > p.rows)
      return no(fmt::format("{} rows for an instruction memory of {}", image_.rows.size(), p.rows));
    if (image_.call_sites.size() > isa::kMaxCallSites)
      return no(fmt::format("{} call sites for a call table of {}", image_.call_sites.size(), isa::kMaxCallSites));
    if (image_.maps.size() > isa::kMaxMaps) return no(fmt::format("{} maps", image_.maps.size()));
    return {};
  }

  base::Result<void> call_table() const {
    for (size_t at = 0; at < image_.call_sites.size(); ++at) {
      const isa::CallSite& site = image_.call_sites[at];
      const std::string where = fmt::format("call site {}", at);
      const arch::ebpf::HelperSignature* signature = arch::ebpf::find_helper(site.helper);
      bool refused = signature == nullptr || helpers::helper_function(site.helper) == nullptr ||
                     !isa::has_latency(site.helper) ||
                     signature->ret == arch::ebpf::RetType::kNever;  // a tail call leaves the image
      for (size_t i = 0; i < 5 && !refused; ++i) refused = signature->args[i] == arch::ebpf::ArgType::kCallback;
      if (refused)
        return base::make_error(ErrorKind::kUnsupported, where, "the helper module has no {} (helper {})",
                                arch::ebpf::helper_name(site.helper), site.helper);
      for (const isa::Argument& arg : site.args) XNIC_TRY(argument(arg, where));
    }
    return {};
  }

  base::Result<void> argument(const isa::Argument& arg, const std::string& where) const {
    using Kind = isa::Argument::Kind;
    if (arg.kind > Kind::kConstantBytes) return base::make_error(ErrorKind::kBadInput, where, "no such argument kind");
    const bool by_register = arg.kind == Kind::kRegister || arg.kind == Kind::kRegisterBytes;
    if (by_register && arg.reg >= isa::kRegisters)
      return base::make_error(ErrorKind::kBadInput, where, "register {} of {}", arg.reg, isa::kRegisters);
    if ((arg.kind == Kind::kMap || arg.kind == Kind::kMapValue) && arg.map >= image_.maps.size())
      return base::make_error(ErrorKind::kBadInput, where, "map {} of {}", arg.map, image_.maps.size());
    if (arg.kind == Kind::kStack && (arg.value < 0 || arg.value > isa::kStackBytes))
      return base::make_error(ErrorKind::kBadInput, where, "stack byte {} of {}", arg.value, isa::kStackBytes);
    return {};
  }

  base::Result<void> row() {
    uint32_t written = 0;
    uint32_t calls = 0;
    for (lane_ = 0; lane_ < isa::kMaxLanes; ++lane_) {
      const isa::Op& op = image_.rows[row_].lanes[lane_];
      if (lane_ >= image_.parameters.lanes && !std::holds_alternative<isa::Nop>(op))
        return broken("the machine has {} lanes", image_.parameters.lanes);
      const Ports& p = ports_[row_][lane_] = ports_of(op);
      if (p.wrong != nullptr) return broken("{}", p.wrong);
      for (uint32_t reg : p.reads) {
        if (reg >= isa::kRegisters) return broken("reads register {} of {}", reg, isa::kRegisters);
      }
      if (p.write) {
        if (*p.write >= isa::kRegisters) return broken("writes register {} of {}", *p.write, isa::kRegisters);
        if ((written >> *p.write & 1) != 0) return broken("register {} has two writers in the row", *p.write);
        written |= 1u << *p.write;
      }
      if (p.site && ++calls > 1) return broken("the helper module takes one call a row");
      if (p.site && *p.site >= image_.call_sites.size())
        return broken("call site {} of {}", *p.site, image_.call_sites.size());
      if (p.target && *p.target >= image_.rows.size()) return broken("row {} of {}", *p.target, image_.rows.size());
      if (p.memory != nullptr) XNIC_TRY(memory(p));
      if (const auto* o = std::get_if<isa::Address>(&op)) {
        const bool of_map = o->space == isa::Space::kMap || o->space == isa::Space::kMapValue;
        if (of_map && o->map >= image_.maps.size()) return broken("map {} of {}", o->map, image_.maps.size());
      }
    }
    return {};
  }

  base::Result<void> memory(const Ports& p) const {
    const isa::Memory& m = *p.memory;
    if (m.bytes == 0 || m.bytes > 8 || (m.bytes % 2 == 1 && m.bytes != 1))
      return broken("no port moves {} bytes at once", m.bytes);
    const uint32_t offset = isa::unsigned_offset(m);
    switch (m.space) {
      case isa::Space::kRegister:
      case isa::Space::kPacket:
      case isa::Space::kContext:
        break;
      case isa::Space::kStack:
        if (offset + m.bytes > isa::kStackBytes)
          return broken("stack byte {} of {}", offset + m.bytes - 1, isa::kStackBytes);
        break;
      case isa::Space::kMapValue:
        if (m.map >= image_.maps.size()) return broken("map {} of {}", m.map, image_.maps.size());
        if (p.memory_immediate) return broken("the immediate takes the map's field");
        break;
      default:
        return broken("this space has no port");
    }
    if (m.space != isa::Space::kRegister && m.base != 0) return broken("a direct space has no base register");
    if (m.space != isa::Space::kMapValue && m.map != 0) return broken("only map values have a map");
    return {};
  }

  // What may follow the row, and with lane forwarding, what it may not read there.
  base::Result<void> successors() {
    bool falls = true;
    for (lane_ = 0; lane_ < isa::kMaxLanes; ++lane_) {
      const Ports& p = ports_[row_][lane_];
      falls = falls && !p.last;
      if (p.target) XNIC_TRY(forwarded(*p.target));
    }
    lane_ = 0;
    if (!falls) return {};
    if (row_ + 1 == image_.rows.size()) return broken("the program runs off its last row");
    return forwarded(row_ + 1);
  }

  base::Result<void> forwarded(uint32_t next) const {
    if (image_.parameters.forwarding == isa::Forwarding::kFull) return {};
    for (uint32_t writer = 0; writer < isa::kMaxLanes; ++writer) {
      if (!ports_[row_][writer].write) continue;
      for (uint32_t reader = 0; reader < isa::kMaxLanes; ++reader) {
        if (reader == writer) continue;
        std::vector<uint32_t> reads = ports_[next][reader].reads;
        if (ports_[next][reader].site) site_reads(*ports_[next][reader].site, reads);
        for (uint32_t reg : reads) {
          if (reg == *ports_[row_][writer].write)
            return broken("row {} lane {} reads register {} one row after lane {} wrote it", next, reader, reg, writer);
        }
      }
    }
    return {};
  }

  void site_reads(uint32_t site, std::vector<uint32_t>& reads) const {
    using Kind = isa::Argument::Kind;
    for (const isa::Argument& arg : image_.call_sites[site].args) {
      if (arg.kind == Kind::kRegister || arg.kind == Kind::kRegisterBytes) reads.push_back(arg.reg);
    }
  }

  const isa::Image& image_;
  std::vector<std::array<Ports, isa::kMaxLanes>> ports_;
  uint32_t row_ = 0;
  uint32_t lane_ = 0;
};

}  // namespace

base::Result<void> check_rules(const isa::Image& image) { return Rules(image).run(); }

}  // namespace xnic::exec::sim::hxdp
