// SPDX-License-Identifier: Apache-2.0
// Both engines get maps of their own with equal contents; what they leave behind is compared key by key.
#include "compare.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "arch/ebpf/assemble.hpp"
#include "arch/ebpf/codec.hpp"
#include "base/bytes.hpp"
#include "base/check.hpp"
#include "base/rng.hpp"
#include "compile/verify/verify.hpp"
#include "exec/interp/interp.hpp"

namespace xnic::tests {
namespace {

using exec::maps::Map;
using Contents = std::vector<std::pair<std::vector<uint8_t>, std::vector<uint8_t>>>;

bool is_queue(const Map& map) {
  return map.spec().type == arch::ebpf::kMapQueue || map.spec().type == arch::ebpf::kMapStack;
}

// Empties queues.
Contents contents(Map& map) {
  Contents all;
  std::vector<uint8_t> value(map.host_value_bytes());
  if (is_queue(map)) {
    while (map.pop(value.data()) == 0) all.emplace_back(std::vector<uint8_t>{}, value);
    return all;
  }
  std::vector<uint8_t> key(map.spec().key_size);
  std::vector<uint8_t> next(map.spec().key_size);
  for (const uint8_t* after = nullptr; map.host_next_key(after, next.data()) == 0; after = key.data()) {
    key = next;
    if (map.host_lookup(key.data(), value.data(), 0) == 0) all.emplace_back(key, value);
  }
  std::sort(all.begin(), all.end());
  return all;
}

std::string different_maps(const exec::LoadedProgram& ours, const exec::LoadedProgram& theirs,
                           const std::string& engine) {
  for (size_t i = 0; i < ours.maps.size(); ++i) {
    if (ours.maps[i]->spec().type == arch::ebpf::kMapProgArray) continue;  // each engine has its own ids
    const Contents a = contents(*ours.maps[i]);
    const Contents b = contents(*theirs.maps[i]);
    if (a == b) continue;
    std::string text = fmt::format("map {} (type {}) differs:\n", i, ours.maps[i]->spec().type);
    for (const auto& [key, value] : a)
      if (std::find(b.begin(), b.end(), std::pair(key, value)) == b.end())
        text += fmt::format("  interp [{}] = {}\n", hex(key), hex(value));
    for (const auto& [key, value] : b)
      if (std::find(a.begin(), a.end(), std::pair(key, value)) == a.end())
        text += fmt::format("  {} [{}] = {}\n", engine, hex(key), hex(value));
    return text;
  }
  return {};
}

std::string different_packets(const exec::packet::Packet& ours, const exec::packet::Packet& theirs,
                              const std::string& engine) {
  const base::Bytes our_meta(ours.data_meta, ours.data);
  const base::Bytes their_meta(theirs.data_meta, theirs.data);
  if (!std::equal(our_meta.begin(), our_meta.end(), their_meta.begin(), their_meta.end()))
    return fmt::format("metadata differs:\n  interp {}\n  {} {}\n", hex(our_meta), engine, hex(their_meta));
  const std::vector<uint8_t> a = ours.bytes();
  const std::vector<uint8_t> b = theirs.bytes();
  if (a == b) return {};
  const auto at =
      size_t(std::mismatch(a.begin(), a.begin() + std::min(a.size(), b.size()), b.begin()).first - a.begin());
  const auto part = [&](const std::vector<uint8_t>& bytes) {
    return hex(base::Bytes(bytes).subspan(at, std::min<size_t>(32, bytes.size() - at)));
  };
  return fmt::format("packet differs from byte {}:\n  interp {} bytes, there {}\n  {} {} bytes, there {}\n", at,
                     a.size(), part(a), engine, b.size(), part(b));
}

}  // namespace

void fill_map(Map& map, base::Rng& rng) {
  const uint32_t type = map.spec().type;
  if (type == arch::ebpf::kMapRingbuf || type == arch::ebpf::kMapProgArray) return;
  std::vector<uint8_t> value(map.host_value_bytes());
  std::vector<uint8_t> key(map.spec().key_size);
  for (uint32_t i = 0; i < std::min<uint32_t>(map.spec().max_entries, 8); ++i) {
    if (rng.chance(1, 3)) continue;
    for (uint8_t& byte : value) byte = uint8_t(rng.chance(1, 2) ? rng.next() : 0);
    if (is_queue(map)) {
      map.push(value.data(), 0);
      continue;
    }
    if (map.spec().type == arch::ebpf::kMapLpmTrie) {
      const uint32_t prefix = uint32_t(rng.below(33));
      base::store(key.data(), prefix);
      base::store(key.data() + 4, uint32_t(rng.next() & 0x0303));
    } else {
      std::fill(key.begin(), key.end(), uint8_t{0});
      if (!key.empty()) key[0] = uint8_t(i);
    }
    if (type == arch::ebpf::kMapDevmap) base::store(value.data(), uint32_t{1});  // the loopback interface: always there
    map.host_update(key.data(), value.data(), 0);
  }
}

// Puts two programs into the array, of the same kind as `caller`, for else they could not be called: one that writes to
// the packet, and one that moves it.
static void fill_programs(Map& map, const arch::ebpf::Program& caller) {
  constexpr std::string_view kTexts[] = {
      "r2 = *(u32 *)(r1 +0)\n r3 = *(u32 *)(r1 +4)\n r4 = r2\n r4 += 1\n if r4 > r3 goto out\n *(u8 *)(r2 +0) = 90\n"
      "out: r0 = 3\n exit",
      "r2 = 4\n call 44\n r0 += 1\n exit"};
  for (uint32_t i = 0; i < std::size(kTexts); ++i) {
    auto program = std::make_shared<arch::ebpf::Program>();
    program->name = "called";
    program->expected_attach_type = caller.expected_attach_type;
    program->load_flags = caller.load_flags;
    program->gpl_compatible = true;
    program->insns = arch::ebpf::assemble(kTexts[i]).value();
    program->subprograms.push_back({0, arch::ebpf::Slot(program->insns.size()), "called", false});
    program->raw = arch::ebpf::encode(program->insns);
    auto loaded = std::make_shared<exec::LoadedProgram>();
    loaded->program = std::move(program);
    CHECK(map.host_update_reference(&i, {.program = std::move(loaded), .map = {}, .events = {}}, nullptr, 0) == 0);
  }
}

std::string hex(std::span<const uint8_t> bytes) {
  std::string text;
  for (uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

uint32_t usable_cpu() {
  cpu_set_t allowed;
  CHECK(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
  uint32_t cpu = 0;
  while (!CPU_ISSET(cpu, &allowed)) ++cpu;
  return cpu;
}

arch::ebpf::MapSpec creation_spec(arch::ebpf::MapSpec spec) {
  // Creating a devmap sets the flag, and refuses it when given, as the kernel does.
  if (spec.type == arch::ebpf::kMapDevmap || spec.type == arch::ebpf::kMapDevmapHash)
    spec.flags &= ~uint32_t(arch::ebpf::kRdonlyProg);
  return spec;
}

std::shared_ptr<exec::LoadedProgram> load_with_maps(std::shared_ptr<const arch::ebpf::Program> program,
                                                    uint64_t contents_seed,
                                                    std::shared_ptr<const arch::ebpf::Facts> facts) {
  auto loaded = std::make_shared<exec::LoadedProgram>();
  base::Rng rng(contents_seed);
  for (const arch::ebpf::MapSpec& spec : program->maps) {
    int error = 0;
    exec::maps::MapOptions options;
    options.cpus = uint32_t(sysconf(_SC_NPROCESSORS_CONF));
    auto map = Map::create(creation_spec(spec), options, error);
    CHECK(map != nullptr);
    fill_map(*map, rng);
    if (spec.type == arch::ebpf::kMapProgArray) fill_programs(*map, *program);
    loaded->maps.push_back(std::move(map));
    loaded->map_ids.push_back(uint32_t(loaded->map_ids.size() + 1));
  }
  loaded->program = std::move(program);
  loaded->facts = std::move(facts);
  return loaded;
}

namespace {

class NoFrozenValues final : public compile::verify::Environment {
 public:
  const uint8_t* frozen_value(arch::ebpf::MapIndex) const override { return nullptr; }
};

// What the other engine is given; null with the reason in `result` when the program is refused.
std::shared_ptr<const exec::LoadedProgram> accept(const std::shared_ptr<const arch::ebpf::Program>& program,
                                                  uint64_t contents_seed, exec::Engine& engine, Comparison& result) {
  std::shared_ptr<const arch::ebpf::Facts> facts;
  if (engine.name() != "kernel") {
    auto outcome = compile::verify::verify(*program, NoFrozenValues());
    if (!outcome.accepted) {
      result.refusal = outcome.rejection.reason;
      return nullptr;
    }
    facts = std::make_shared<const arch::ebpf::Facts>(std::move(outcome.facts));
  }
  auto loaded = load_with_maps(program, contents_seed, std::move(facts));
  const auto taken = engine.load(loaded);
  result.accepted = taken.has_value() || engine.name() != "kernel";
  if (taken) return loaded;
  (result.accepted ? result.difference : result.refusal) = taken.error().message();
  return nullptr;
}

}  // namespace

Comparison compare(const std::shared_ptr<const arch::ebpf::Program>& program, std::span<const RandomPacket> packets,
                   uint64_t contents_seed, const std::string& engine) {
  Comparison result;
  const auto ours = load_with_maps(program, contents_seed);
  const auto other = exec::make_engine(engine);
  CHECK(other != nullptr);
  const auto theirs = accept(program, contents_seed, *other, result);
  if (theirs == nullptr) return result;
  exec::interp::Interp interp(exec::interp::InterpOptions{.checked = true});
  if (const auto loaded = interp.load(ours); !loaded) {
    result.difference = "the interpreter did not load it: " + loaded.error().message() + "\n";
    return result;
  }
  uint64_t our_random = 1, their_random = 1;
  exec::RunContext context;
  const base::SystemClock clock;
  context.clock = &clock;
  context.cpu = usable_cpu();
  for (const RandomPacket& packet : packets) {
    exec::packet::Packet a = packet.packet();
    exec::packet::Packet b = packet.packet();
    exec::Verdict our_verdict, their_verdict;
    context.random_state = &our_random;
    const auto our_run = interp.run({&a, 1}, {&our_verdict, 1}, context);
    context.random_state = &their_random;
    const auto their_run = other->run({&b, 1}, {&their_verdict, 1}, context);
    ++result.packets;
    if (!our_run) result.difference += "interp: " + our_run.error().message() + "\n";
    if (!their_run) result.difference += engine + ": " + their_run.error().message() + "\n";
    if (interp.violation())
      result.difference += fmt::format("insn {}: {}\n", interp.violation()->slot, interp.violation()->what);
    // The NFP card knows no code above that of sending back.
    if (engine == "nfp" && our_verdict.code > arch::ebpf::kXdpTx) our_verdict.code = arch::ebpf::kXdpAborted;
    if (our_verdict.code != their_verdict.code)
      result.difference +=
          fmt::format("verdict: interp {:#x}, {} {:#x}\n", our_verdict.code, engine, their_verdict.code);
    if (engine != "kernel" && our_verdict.redirect != their_verdict.redirect)
      result.difference += "the redirect's target differs\n";
    result.difference += different_packets(a, b, engine);
    if (!result.difference.empty()) {
      result.difference = fmt::format("packet {}: ", result.packets - 1) + result.difference;
      return result;
    }
  }
  if (const auto pulled = other->pull_maps(); !pulled)
    result.difference = pulled.error().message() + "\n";
  else
    result.difference = different_maps(*ours, *theirs, engine);
  return result;
}

}  // namespace xnic::tests
