// SPDX-License-Identifier: Apache-2.0
// From the image to flat arrays, once at load: handlers, operands, addresses of maps; which results of a row have to
// wait for its end; which taken branches fetch foresees; what each call costs when that is known beforehand.
#include <fmt/format.h>

#include "arch/ebpf/helpers.hpp"
#include "arch/ebpf/map_types.hpp"
#include "exec/sim/hxdp/core.hpp"

namespace xnic::exec::sim::hxdp {
namespace {

using arch::ebpf::ArgType;
using arch::ebpf::Overloaded;
using base::ErrorKind;

constexpr arch::ebpf::HelperId kLookup = 1;

class Decoder {
 public:
  Decoder(const isa::Image& image, const LoadedProgram& program, FlatImage& flat)
      : image_(image), program_(program), flat_(flat) {}

  base::Result<void> run() {
    XNIC_TRY(match_maps());
    for (const isa::CallSite& site : image_.call_sites) {
      XNIC_TRY(decode_site(site));
    }
    for (const isa::Bundle& bundle : image_.rows) {
      XNIC_TRY(decode_row(bundle));
    }
    return {};
  }

 private:
  base::Result<void> match_maps() const {
    if (program_.maps.size() != image_.maps.size())
      return base::make_error(ErrorKind::kBadInput, image_.program,
                              "the image was made for {} maps, the program has {}", image_.maps.size(),
                              program_.maps.size());
    for (size_t i = 0; i < image_.maps.size(); ++i) {
      const arch::ebpf::MapSpec& have = program_.maps[i]->spec();
      const isa::MapReference& want = image_.maps[i];
      // The compiler relies on the size of arrays: an index below it is never looked up in vain.
      const bool array = want.type == arch::ebpf::kMapArray || want.type == arch::ebpf::kMapPercpuArray;
      if (have.type != want.type || have.key_size != want.key_size || have.value_size != want.value_size ||
          (array && have.max_entries != want.max_entries))
        return base::make_error(
            ErrorKind::kBadInput, image_.program,
            "map {} ({}): the image was made for type {} with keys of {} and values of {} bytes and "
            "{} entries; this one has type {}, {}, {} and {}",
            i, want.name, want.type, want.key_size, want.value_size, want.max_entries, have.type, have.key_size,
            have.value_size, have.max_entries);
    }
    return {};
  }

  base::Result<uint64_t> map_value(isa::MapIndex map) const {
    const uint8_t* base = program_.maps[map]->values_base();
    if (base == nullptr)
      return base::make_error(ErrorKind::kBadInput, image_.program, "map {} has no first value: it is no array", map);
    return reinterpret_cast<uint64_t>(base);
  }
  uint64_t map_address(isa::MapIndex map) const { return reinterpret_cast<uint64_t>(program_.maps[map].get()); }

  static Extent extent_of(const arch::ebpf::HelperSignature& signature, size_t i, const maps::Map* map) {
    switch (signature.args[i]) {
      case ArgType::kMapKey:
        return map == nullptr ? Extent{} : Extent{Extent::Kind::kBytes, map->spec().key_size};
      case ArgType::kMapValue:
        return map == nullptr ? Extent{} : Extent{Extent::Kind::kBytes, map->spec().value_size};
      case ArgType::kMemory:
      case ArgType::kMemoryOrNull:
        return {Extent::Kind::kSizeArgument, 0};
      default:
        return {};
    }
  }
  // Maps of maps give a map instead, program and event arrays nothing.
  static uint32_t value_bytes(const maps::Map& map) {
    switch (map.spec().type) {
      case arch::ebpf::kMapHash:
      case arch::ebpf::kMapArray:
      case arch::ebpf::kMapPercpuHash:
      case arch::ebpf::kMapPercpuArray:
      case arch::ebpf::kMapLruHash:
      case arch::ebpf::kMapLruPercpuHash:
      case arch::ebpf::kMapLpmTrie:
        return map.spec().value_size;
      default:
        return 0;
    }
  }

  base::Result<void> decode_site(const isa::CallSite& site) {
    FlatSite flat;
    flat.site = site;
    flat.function = helpers::helper_function(site.helper);
    const arch::ebpf::HelperSignature& signature = *arch::ebpf::find_helper(site.helper);
    uint32_t bytes = 0;
    bool known = true;
    for (size_t i = 0; i < 5; ++i) {
      const isa::Argument& arg = site.args[i];
      using Kind = isa::Argument::Kind;
      if (arg.kind == Kind::kConstant) flat.constant[i] = static_cast<uint64_t>(arg.value);
      if (arg.kind == Kind::kMap) flat.constant[i] = map_address(arg.map);
      if (arg.kind == Kind::kMapValue) {
        XNIC_ASSIGN(const uint64_t base, map_value(arg.map));
        flat.constant[i] = base + static_cast<uint64_t>(arg.value);
      }
      const bool fixed = arg.kind == Kind::kConstant || arg.kind == Kind::kMap || arg.kind == Kind::kMapValue ||
                         arg.kind == Kind::kNone;
      if (!fixed) flat.variable[flat.variables++] = static_cast<uint8_t>(i);
      const ArgType type = signature.args[i];
      if (type == ArgType::kSize || type == ArgType::kSizeOrZero) {
        known = known && (arg.kind == Kind::kConstant || arg.kind == Kind::kNone);
        bytes += static_cast<uint32_t>(flat.constant[i]);
      }
      if (type == ArgType::kMap) {
        known = known && arg.kind == Kind::kMap;
        if (arg.kind == Kind::kMap) flat.map = program_.maps[arg.map].get();
      }
      flat.extent[i] = extent_of(signature, i, flat.map);
    }
    flat.value_bytes = site.helper == kLookup && flat.map != nullptr ? value_bytes(*flat.map) : 0;
    flat.shape.helper = site.helper;
    flat.shape.bytes = bytes;
    if (flat.map != nullptr) set_map(flat.shape, *flat.map);
    flat.is_known = known;
    flat.cost = isa::call_cost(flat.shape, image_.parameters);
    flat.reads_packet = signature.name == "xdp_load_bytes" || signature.name == "xdp_store_bytes";
    const auto key = site.args[1].kind;
    flat.at_once = known && flat.value_bytes != 0 &&
                   (key == isa::Argument::Kind::kRegisterBytes || key == isa::Argument::Kind::kConstantBytes);
    flat_.sites.push_back(flat);
    return {};
  }

  base::Result<void> decode_row(const isa::Bundle& bundle) {
    FlatRow row;
    row.first = static_cast<uint32_t>(flat_.micros.size());
    bool conditional = false;  // a lower lane may branch: fetch cannot tell what follows
    for (uint32_t lane = 0; lane < isa::kMaxLanes; ++lane) {
      const isa::Op& op = bundle.lanes[lane];
      if (std::holds_alternative<isa::Nop>(op)) continue;
      Micro micro;
      micro.lane = static_cast<uint8_t>(lane);
      XNIC_TRY(std::visit([&](const auto& o) { return fill(o, micro); }, op));
      if (std::holds_alternative<isa::Goto>(op)) micro.bubble = conditional;
      if (std::holds_alternative<isa::Branch>(op) || std::holds_alternative<isa::BranchPacket>(op)) {
        micro.bubble = true;
        conditional = true;
      }
      micro.final_out = micro.out;
      if (int reg = isa::written_register(op); reg >= 0 && !micro.calls && read_above(bundle, lane, reg)) {
        micro.out = static_cast<uint8_t>(isa::kRegisters + lane);
        row.moves = true;
      }
      flat_.micros.push_back(micro);
    }
    row.end = static_cast<uint32_t>(flat_.micros.size());
    mark_stores(row);
    flat_.rows.push_back(row);
    return {};
  }

  // A store may be written at once when no higher lane reads memory, and no lower lane has an effect that waits for the
  // end of the row: that one comes first.
  void mark_stores(const FlatRow& row) {
    for (uint32_t at = row.end; at-- > row.first;) {
      flat_.micros[at].at_once = true;
      if (flat_.micros[at].reads_memory) break;
    }
    bool waits = false;
    for (uint32_t at = row.first; at < row.end; ++at) {
      Micro& micro = flat_.micros[at];
      if (waits) micro.at_once = false;
      waits = waits || micro.calls || (micro.writes_memory && !micro.at_once);
    }
  }

  bool read_above(const isa::Bundle& bundle, uint32_t lane, int reg) const {
    for (uint32_t above = lane + 1; above < isa::kMaxLanes; ++above) {
      if ((isa::read_registers(bundle.lanes[above], image_.call_sites) >> reg & 1) != 0) return true;
    }
    return false;
  }

  // --- operands, form by form ---
  static void operand(const isa::Operand& operand, Micro& m) {
    if (const auto* reg = std::get_if<isa::Reg>(&operand)) {
      m.b = *reg;
    } else {
      m.imm = static_cast<uint64_t>(int64_t{std::get<isa::Imm>(operand)});
    }
  }
  base::Result<void> memory(const isa::Memory& memory, Micro& m) const {
    m.a = memory.base;
    m.imm = memory.space == isa::Space::kRegister ? static_cast<uint64_t>(int64_t{memory.offset})
                                                  : isa::unsigned_offset(memory);
    if (memory.space == isa::Space::kMapValue) {
      XNIC_ASSIGN(const uint64_t base, map_value(memory.map));
      m.imm += base;
      m.owned = program_.maps[memory.map]->owns(reinterpret_cast<const void*>(m.imm), memory.bytes);
    }
    return {};
  }
  static void stored(const isa::Operand& src, Micro& m) {
    if (const auto* reg = std::get_if<isa::Reg>(&src)) {
      m.b = *reg;
    } else {
      m.value = static_cast<uint64_t>(int64_t{std::get<isa::Imm>(src)});
    }
  }

  template <class Op>
  base::Result<void> done(const Op& op, Micro& m) const {
    m.handler = handler_of(op);
    return {};
  }
  base::Result<void> fill(const isa::Nop&, Micro&) const { return {}; }
  base::Result<void> fill(const isa::Alu& o, Micro& m) const {
    m.out = o.dst, m.a = o.a;
    operand(o.b, m);
    return done(o, m);
  }
  base::Result<void> fill(const isa::Move& o, Micro& m) const {
    m.out = o.dst;
    operand(o.src, m);
    return done(o, m);
  }
  base::Result<void> fill(const isa::MoveHigh& o, Micro& m) const {
    m.out = o.dst, m.a = o.a, m.imm = static_cast<uint32_t>(o.imm);
    return done(o, m);
  }
  base::Result<void> fill(const isa::SignExtend& o, Micro& m) const {
    m.out = o.dst, m.a = o.src;
    return done(o, m);
  }
  base::Result<void> fill(const isa::Swap& o, Micro& m) const {
    m.out = o.dst, m.a = o.src;
    return done(o, m);
  }
  base::Result<void> fill(const isa::FoldSum& o, Micro& m) const {
    m.out = o.dst, m.a = o.a;
    operand(o.b, m);
    return done(o, m);
  }
  base::Result<void> fill(const isa::Select& o, Micro& m) const {
    m.out = o.dst, m.a = o.a, m.b = o.value, m.c = o.dst, m.imm = static_cast<uint64_t>(int64_t{o.b});
    return done(o, m);
  }
  base::Result<void> fill(const isa::Address& o, Micro& m) const {
    m.out = o.dst, m.imm = static_cast<uint64_t>(int64_t{o.offset});
    if (o.space == isa::Space::kMap) m.value = map_address(o.map);
    if (o.space == isa::Space::kMapValue) {
      XNIC_ASSIGN(m.value, map_value(o.map));
    }
    return done(o, m);
  }
  base::Result<void> fill(const isa::Load& o, Micro& m) const {
    XNIC_TRY(memory(o.from, m));
    m.reads_memory = true;
    m.out = o.dst, m.sign_extend = o.sign_extend, m.big_endian = o.big_endian, m.speculative = o.speculative;
    return done(o, m);
  }
  base::Result<void> fill(const isa::Store& o, Micro& m) const {
    XNIC_TRY(memory(o.to, m));
    stored(o.src, m);
    m.big_endian = o.big_endian;
    m.writes_memory = true;
    return done(o, m);
  }
  base::Result<void> fill(const isa::AddMemory& o, Micro& m) const {
    XNIC_TRY(memory(o.to, m));
    stored(o.src, m);
    m.reads_memory = m.writes_memory = true;
    return done(o, m);
  }
  base::Result<void> fill(const isa::Atomic& o, Micro& m) const {
    XNIC_TRY(memory(o.to, m));
    m.reads_memory = m.writes_memory = true;
    m.b = o.src, m.out = o.dst, m.c = o.expected, m.has_result = o.fetch;
    return done(o, m);
  }
  base::Result<void> fill(const isa::Branch& o, Micro& m) const {
    m.a = o.a, m.target = o.target;
    operand(o.b, m);
    return done(o, m);
  }
  base::Result<void> fill(const isa::BranchPacket& o, Micro& m) const {
    m.imm = o.bytes, m.target = o.target;
    return done(o, m);
  }
  base::Result<void> fill(const isa::Goto& o, Micro& m) const {
    m.target = o.target;
    return done(o, m);
  }
  base::Result<void> fill(const isa::Call& o, Micro& m) const {
    m.site = &flat_.sites[o.site], m.out = o.dst, m.has_result = o.has_result;
    m.calls = !m.site->at_once;
    m.handler = m.calls ? handler_of(o) : lookup_handler();
    return {};
  }
  base::Result<void> fill(const isa::CallExit& o, Micro& m) const {
    m.site = &flat_.sites[o.site], m.exits = true, m.calls = true;
    return done(o, m);
  }
  base::Result<void> fill(const isa::Exit& o, Micro& m) const {
    m.imm = o.verdict;
    return done(o, m);
  }
  base::Result<void> fill(const isa::ExitRegister& o, Micro& m) const {
    m.a = o.src;
    return done(o, m);
  }

  const isa::Image& image_;
  const LoadedProgram& program_;
  FlatImage& flat_;
};

}  // namespace

base::Result<FlatImage> decode(const isa::Image& image, const LoadedProgram& program, const isa::Timing& timing) {
  FlatImage flat;
  flat.parameters = image.parameters;
  flat.timing = timing;
  flat.program = &program;
  XNIC_TRY(Decoder(image, program, flat).run());
  return flat;
}

}  // namespace xnic::exec::sim::hxdp
