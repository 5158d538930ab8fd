// SPDX-License-Identifier: Apache-2.0
// The image file: a checked header, then the fields in order. The reader trusts no count: it never reserves more than
// the bytes that are left could hold, and everything it reads is checked by the machine's own rules at the end.
#include "arch/hxdp/image.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "arch/ebpf/codec.hpp"
#include "arch/hxdp/codec.hpp"

namespace xnic::arch::hxdp {

uint32_t read_registers(const CallSite& site) {
  uint32_t bits = 0;
  for (const Argument& arg : site.args) {
    if (arg.kind == Argument::Kind::kRegister || arg.kind == Argument::Kind::kRegisterBytes) bits |= 1u << arg.reg;
  }
  return bits;
}

const ebpf::LineInfo* Image::line_at(uint32_t slot) const {
  if (slot == kNoSlot) return nullptr;
  auto after = std::upper_bound(lines.begin(), lines.end(), slot,
                                [](uint32_t s, const ebpf::LineInfo& line) { return s < line.slot; });
  return after == lines.begin() ? nullptr : &*std::prev(after);
}

uint64_t source_hash(const ebpf::Program& program) {
  uint64_t hash = 0xcbf29ce484222325;
  const auto mix = [&](uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) hash = (hash ^ (value >> (8 * i) & 0xff)) * 0x100000001b3;
  };
  for (const ebpf::RawInsn& insn : ebpf::encode(program.insns)) {
    mix(insn.opcode, 1), mix(uint64_t(insn.src_reg) << 4 | insn.dst_reg, 1), mix(uint16_t(insn.offset), 2);
    mix(uint32_t(insn.imm), 4);
  }
  return hash;
}

namespace {

constexpr std::string_view kMagic = "XNICHXDP";
constexpr size_t kHeaderBytes = 20;

uint32_t crc32(base::Bytes bytes) {
  static const auto table = [] {
    std::array<uint32_t, 256> t{};
    for (uint32_t i = 0; i < 256; i++) {
      uint32_t c = i;
      for (int bit = 0; bit < 8; bit++) c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
      t[i] = c;
    }
    return t;
  }();
  uint32_t crc = ~0u;
  for (uint8_t byte : bytes) crc = table[(crc ^ byte) & 0xff] ^ (crc >> 8);
  return ~crc;
}

struct Writer {
  std::vector<uint8_t> out;
  void raw(const void* at, size_t bytes) {
    const auto* from = static_cast<const uint8_t*>(at);
    out.insert(out.end(), from, from + bytes);
  }
  template <class T>
  void number(T value) {
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof(T); i++) bytes[i] = uint8_t(uint64_t(value) >> (8 * i));
    raw(bytes, sizeof(T));
  }
  void text(const std::string& s) {
    number(uint32_t(s.size()));
    raw(s.data(), s.size());
  }
};

// After the first short read everything reads as zero, and `ok` stays false.
struct Reader {
  base::Bytes in;
  bool ok = true;
  template <class T>
  T number() {
    if (in.size() < sizeof(T)) return ok = false, T{};
    uint64_t value = 0;
    for (size_t i = 0; i < sizeof(T); i++) value |= uint64_t(in[i]) << (8 * i);
    in = in.subspan(sizeof(T));
    return static_cast<T>(value);
  }
  // A count of things of at least `each` bytes.
  uint32_t count(size_t each) {
    const uint32_t n = number<uint32_t>();
    if (uint64_t{n} * each > in.size()) return ok = false, 0;
    return n;
  }
  std::string text() {
    const uint32_t n = count(1);
    std::string s(reinterpret_cast<const char*>(in.data()), n);
    in = in.subspan(n);
    return s;
  }
};

void write_sites(Writer& w, const std::vector<CallSite>& sites) {
  w.number(uint32_t(sites.size()));
  for (const CallSite& site : sites) {
    w.number(site.helper);
    for (const Argument& arg : site.args) {
      w.number(uint8_t(arg.kind)), w.number(arg.reg), w.number(arg.map), w.number(arg.value);
    }
  }
}

base::Unexpected refused(std::string_view why) {
  return base::make_error(base::ErrorKind::kBadInput, "hxdp image", "{}", why);
}

void read_tail(Reader& r, Image& image) {
  image.call_sites.resize(r.count(74));
  for (CallSite& site : image.call_sites) {
    site.helper = r.number<uint32_t>();
    for (Argument& arg : site.args) {
      const auto kind = r.number<uint8_t>();
      if (kind > uint8_t(Argument::Kind::kConstantBytes)) r.ok = false;
      arg.kind = Argument::Kind(kind);
      arg.reg = r.number<Reg>();
      arg.map = r.number<MapIndex>();
      arg.value = r.number<int64_t>();
    }
  }
  image.maps.resize(r.count(20));
  for (MapReference& map : image.maps) {
    map.name = r.text();
    map.type = r.number<uint32_t>();
    map.key_size = r.number<uint32_t>();
    map.value_size = r.number<uint32_t>();
    map.max_entries = r.number<uint32_t>();
  }
  image.lines.resize(r.count(20));
  for (ebpf::LineInfo& line : image.lines) {
    line.slot = r.number<uint32_t>();
    line.line = r.number<uint32_t>();
    line.column = r.number<uint32_t>();
    line.file = r.text();
    line.text = r.text();
  }
  image.stack_bytes = r.number<uint32_t>();
  image.source_insns = r.number<uint32_t>();
  image.source_hash = r.number<uint64_t>();
}

}  // namespace

std::vector<uint8_t> to_bytes(const Image& image) {
  Writer w;
  w.text(image.program);
  const Parameters& p = image.parameters;
  w.number(p.lanes), w.number(p.rows), w.number(p.frame_bytes), w.number(p.clock_hz), w.number(p.cores);
  w.number(uint8_t(p.forwarding));
  w.number(uint32_t(image.rows.size()));
  for (size_t row = 0; row < image.rows.size(); row++) {
    for (uint32_t lane = 0; lane < p.lanes; lane++) {
      w.number(encode(image.rows[row].lanes[lane]));
      w.number(image.slots[row][lane]);
    }
  }
  write_sites(w, image.call_sites);
  w.number(uint32_t(image.maps.size()));
  for (const MapReference& map : image.maps) {
    w.text(map.name), w.number(map.type), w.number(map.key_size), w.number(map.value_size), w.number(map.max_entries);
  }
  w.number(uint32_t(image.lines.size()));
  for (const ebpf::LineInfo& line : image.lines) {
    w.number(line.slot), w.number(line.line), w.number(line.column), w.text(line.file), w.text(line.text);
  }
  w.number(image.stack_bytes), w.number(image.source_insns), w.number(image.source_hash);

  Writer file;
  file.raw(kMagic.data(), kMagic.size());
  file.number(kImageVersion), file.number(uint32_t(w.out.size())), file.number(crc32(w.out));
  file.raw(w.out.data(), w.out.size());
  return std::move(file.out);
}

base::Result<Image> from_bytes(base::Bytes file) {
  if (file.size() < kHeaderBytes || std::memcmp(file.data(), kMagic.data(), kMagic.size()) != 0)
    return refused("not an hXDP image");
  Reader header{file.subspan(kMagic.size())};
  const auto version = header.number<uint32_t>();
  if (version != kImageVersion)
    return refused(fmt::format("version {}; this program reads version {}", version, kImageVersion));
  const auto bytes = header.number<uint32_t>();
  const auto crc = header.number<uint32_t>();
  if (bytes != header.in.size()) return refused("cut short, or longer than its header says");
  if (crc != crc32(header.in)) return refused("corrupt: the checksum does not match");

  Reader r{header.in};
  Image image;
  image.program = r.text();
  Parameters& p = image.parameters;
  p.lanes = r.number<uint32_t>(), p.rows = r.number<uint32_t>(), p.frame_bytes = r.number<uint32_t>();
  p.clock_hz = r.number<uint64_t>(), p.cores = r.number<uint32_t>();
  const auto forwarding = r.number<uint8_t>();
  if (forwarding > 1) return refused("unknown forwarding");
  p.forwarding = Forwarding(forwarding);
  XNIC_TRY(validate(p));
  const uint32_t rows = r.count(size_t{12} * p.lanes);
  image.rows.resize(rows);
  image.slots.resize(rows);
  for (uint32_t row = 0; row < rows; row++) {
    image.slots[row].fill(kNoSlot);
    for (uint32_t lane = 0; lane < p.lanes; lane++) {
      XNIC_ASSIGN(image.rows[row].lanes[lane], decode(r.number<uint64_t>()));
      image.slots[row][lane] = r.number<uint32_t>();
    }
  }
  read_tail(r, image);
  if (!r.ok || !r.in.empty()) return refused("its fields do not fill the file");
  if (auto broken = check(image); !broken.empty())
    return refused(fmt::format("row {} lane {} breaks the rule \"{}\": {}", broken[0].row, broken[0].lane,
                               rule_name(broken[0].rule), broken[0].text));
  return image;
}

}  // namespace xnic::arch::hxdp
