// SPDX-License-Identifier: Apache-2.0
// The path is walked once; each operation gets the earliest row that what it waits for allows. The link to what it
// waits for longest is kept, and followed back from the operation that comes last.
#include "xnic/chain.hpp"

#include <algorithm>
#include <array>

#include "arch/ebpf/helpers.hpp"
#include "xnic/command.hpp"

namespace xnic::tools {
namespace {

using namespace arch::hxdp;

namespace ebpf = arch::ebpf;

constexpr uint32_t kNone = ~uint32_t{0};

// Bytes of memory that an operation touches, as far as its fields show. bytes 0: from the offset on.
struct Bytes {
  Space space = Space::kRegister;
  Reg base = 0;
  uint32_t version = 0;  // of the base register
  MapIndex map = 0;
  int64_t offset = 0;
  int64_t bytes = 0;
  bool overlaps(const Bytes& o) const {
    if (space != o.space || base != o.base || version != o.version || map != o.map) return false;
    return (bytes == 0 || o.offset < offset + bytes) && (o.bytes == 0 || offset < o.offset + o.bytes);
  }
};

struct Walker {
  const Image& image;
  struct Done {
    ChainLink link;
    uint32_t before = kNone;  // of what it waits for longest
  };
  std::vector<Done> done{};
  std::array<uint32_t, kRegisters> writer{};   // operation that made the register's value
  std::array<uint32_t, kRegisters> version{};  // of the register
  struct Stored {
    Bytes bytes;
    uint32_t by;
  };
  std::vector<Stored> stores{};
  uint32_t last_branch = kNone;
  uint32_t last_move = kNone;  // call that moved the packet's bounds
  uint32_t last_call = kNone;

  explicit Walker(const Image& of) : image(of) { writer.fill(kNone); }

  const ebpf::HelperSignature* signature(const Op& op) const {
    const auto site = [&](uint16_t at) { return ebpf::find_helper(image.call_sites[at].helper); };
    if (const auto* call = std::get_if<Call>(&op)) return site(call->site);
    if (const auto* call = std::get_if<CallExit>(&op)) return site(call->site);
    return nullptr;
  }
  std::vector<Bytes> touched(const Op& op) const {
    std::vector<Bytes> list;
    if (const Memory* m = memory_of(op)) {
      const int64_t offset = m->space == Space::kRegister ? m->offset : int64_t(unsigned_offset(*m));
      const bool based = m->space == Space::kRegister;
      list.push_back({m->space, m->base, based ? version[m->base] : 0, m->map, offset, m->bytes});
    }
    if (!is_call(op)) return list;
    const uint16_t at = std::holds_alternative<Call>(op) ? std::get<Call>(op).site : std::get<CallExit>(op).site;
    for (const Argument& arg : image.call_sites[at].args) {
      using Kind = Argument::Kind;
      if (arg.kind == Kind::kStack) list.push_back({Space::kStack, 0, 0, 0, arg.value, 0});
      if (arg.kind == Kind::kPacket) list.push_back({Space::kPacket, 0, 0, 0, arg.value, 0});
      if (arg.kind == Kind::kMapValue) list.push_back({Space::kMapValue, 0, 0, arg.map, arg.value, 0});
      if (arg.kind == Kind::kRegister) list.push_back({Space::kRegister, arg.reg, version[arg.reg], 0, 0, 0});
    }
    return list;
  }

  // Adds the operation. Values are those of before its row: `commit` afterwards takes its effects over.
  uint32_t add(const Op& op, Row row, uint32_t lane) {
    Done d{{row, lane, Wait::kStart, 0}, kNone};
    const auto after = [&](uint32_t what, uint32_t rows, Wait wait) {
      if (what == kNone) return;
      const uint32_t earliest = done[what].link.earliest + rows;
      if (d.before != kNone && earliest <= d.link.earliest) return;
      d.link.earliest = earliest, d.link.wait = wait, d.before = what;
    };
    const uint32_t read = read_registers(op, image.call_sites);
    for (uint32_t r = 0; r < kRegisters; r++) {
      if (read >> r & 1) after(writer[r], 1, Wait::kResult);
    }
    const bool stores_only = std::holds_alternative<Store>(op);
    for (const Bytes& bytes : touched(op)) {
      for (const Stored& s : stores) {
        if (!stores_only && bytes.overlaps(s.bytes)) after(s.by, 1, Wait::kMemory);
      }
      if (bytes.space == Space::kPacket) after(last_move, 1, Wait::kBounds);
    }
    if (std::holds_alternative<BranchPacket>(op)) after(last_move, 1, Wait::kBounds);
    const bool branch = branch_target(op) >= 0;
    const bool load = std::holds_alternative<Load>(op);
    const bool effect = (memory_of(op) != nullptr && !load) || ends_row(op);
    const ebpf::HelperSignature* helper = signature(op);
    const bool moves = helper != nullptr && helper->changes_packet;
    if (branch || effect || moves) after(last_branch, 0, Wait::kOrder);
    if (moves) after(last_call, 1, Wait::kOrder);
    done.push_back(d);
    return uint32_t(done.size() - 1);
  }
  void commit(const Op& op, uint32_t id) {
    if (const int dst = written_register(op); dst >= 0) writer[size_t(dst)] = id, version[size_t(dst)]++;
    if (branch_target(op) >= 0) last_branch = id;
    if (memory_of(op) != nullptr && !std::holds_alternative<Load>(op)) stores.push_back({touched(op)[0], id});
    if (is_call(op)) last_call = id;
    if (const ebpf::HelperSignature* helper = signature(op); helper != nullptr && helper->changes_packet)
      last_move = id, stores.clear();
  }
};

}  // namespace

PathChain chain_of(const Image& image, std::span<const Row> path) {
  PathChain chain;
  chain.rows = uint32_t(path.size());
  Walker walker(image);
  for (size_t i = 0; i < path.size(); i++) {
    const int64_t next = i + 1 < path.size() ? int64_t{path[i + 1]} : -1;
    std::vector<std::pair<const Op*, uint32_t>> row;
    for (uint32_t lane = 0; lane < image.parameters.lanes; lane++) {
      const Op& op = image.rows[path[i]].lanes[lane];
      if (is_nop(op)) continue;
      row.push_back({&op, walker.add(op, path[i], lane)});
      chain.calls += is_call(op);
      // A taken branch cancels the lanes above it.
      if (next != int64_t{path[i]} + 1 && branch_target(op) >= 0 && branch_target(op) == next) break;
    }
    for (const auto& [op, id] : row) walker.commit(*op, id);
  }
  chain.operations = uint32_t(walker.done.size());
  chain.lane_rows = (chain.operations + image.parameters.lanes - 1) / image.parameters.lanes;
  if (walker.done.empty()) return chain;
  uint32_t at = 0;
  for (uint32_t i = 0; i < walker.done.size(); i++) {
    if (walker.done[i].link.earliest >= walker.done[at].link.earliest) at = i;
  }
  chain.chain_rows = walker.done[at].link.earliest + 1;
  for (; at != kNone; at = walker.done[at].before) chain.links.push_back(walker.done[at].link);
  std::reverse(chain.links.begin(), chain.links.end());
  return chain;
}

std::string to_words(Wait wait) {
  switch (wait) {
    case Wait::kStart:
      return "first";
    case Wait::kResult:
      return "a result";
    case Wait::kMemory:
      return "bytes stored before";
    case Wait::kBounds:
      return "the packet's new bounds";
    case Wait::kOrder:
      return "the order of branches and effects";
  }
  return "";
}

}  // namespace xnic::tools
