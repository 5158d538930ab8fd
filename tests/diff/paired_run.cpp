// SPDX-License-Identifier: Apache-2.0
// Packets go in batches, because each engine's run() has costs of its own; a difference is reported with its packet.
#include "paired_run.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "arch/ebpf/helpers.hpp"
#include "base/check.hpp"
#include "compare.hpp"
#include "exec/interp/interp.hpp"
#include "fill_maps.hpp"
#include "frame_mix.hpp"

namespace xnic::tests {
namespace {

using arch::ebpf::Program;
using exec::LoadedProgram;
using exec::maps::Map;
using exec::packet::Packet;

constexpr size_t kBatchPackets = 256;
constexpr size_t kToldDifferences = 3;
constexpr size_t kVocabularyFrames = 64;  // frames that maps are keyed to
constexpr int32_t kTime = 2'000'000'000;  // what every clock says, in its own unit
constexpr uint32_t kAttachXdp = 37;       // enum bpf_attach_type BPF_XDP; 0: not said

// Names of helpers whose result is the kernel's own; nothing else knows it.
constexpr std::string_view kKernelsOwn[] = {"tcp_raw_gen_syncookie_ipv4", "tcp_raw_gen_syncookie_ipv6",
                                            "tcp_raw_check_syncookie_ipv4", "tcp_raw_check_syncookie_ipv6"};

bool is_clock(std::string_view helper) { return helper.starts_with("ktime_get") || helper == "jiffies64"; }

// Calls whose results differ from run to run become constants.
std::shared_ptr<const LoadedProgram> with_constant_time(const std::shared_ptr<const LoadedProgram>& loaded,
                                                        int32_t random) {
  auto program = std::make_shared<Program>(*loaded->program);
  bool changed = false;
  for (size_t slot = 0; slot < program->insns.size(); ++slot) {
    const auto* call = std::get_if<arch::ebpf::CallHelper>(&program->insns[slot]);
    if (call == nullptr) continue;
    const std::string_view name = arch::ebpf::helper_name(call->id);
    const bool clock = is_clock(name);
    if (!clock && name != "get_prandom_u32") continue;
    const int32_t value = clock ? kTime : random;
    using namespace arch::ebpf;
    program->insns[slot] = Binary{BinaryOp::kMov, Width::k64, Reg::kR0, Imm{value}};
    program->raw[slot] = RawInsn{0xb7, 0, 0, 0, value};
    changed = true;
  }
  if (!changed) return loaded;
  auto constant = std::make_shared<LoadedProgram>(*loaded);
  constant->program = std::move(program);
  return constant;
}

std::string reason_to_skip(const Program& program) {
  if (program.expected_attach_type != kAttachXdp && program.expected_attach_type != 0)
    return "the kernel runs programs of device and CPU maps only behind a redirect";
  for (const auto& insn : program.insns) {
    const auto* call = std::get_if<arch::ebpf::CallHelper>(&insn);
    if (call == nullptr) continue;
    const std::string_view name = arch::ebpf::helper_name(call->id);
    if (std::find(std::begin(kKernelsOwn), std::end(kKernelsOwn), name) != std::end(kKernelsOwn))
      return fmt::format("bpf_{} uses the kernel's own secret", name);
  }
  return {};
}

bool is_queue(const Map& map) {
  return map.spec().type == arch::ebpf::kMapQueue || map.spec().type == arch::ebpf::kMapStack;
}

using Contents = std::multimap<std::vector<uint8_t>, std::vector<uint8_t>>;

// What a host sees of the map; queues are emptied and have empty keys. A kernel's value may have other bytes behind
// its per-CPU copies' ends, which is why values are cut to value_size.
Contents contents(Map& map) {
  Contents all;
  std::vector<uint8_t> value(map.host_value_bytes());
  if (is_queue(map)) {
    for (uint64_t order = 0; map.pop(value.data()) == 0; ++order) all.emplace(std::vector<uint8_t>{}, value);
    return all;
  }
  std::vector<uint8_t> key(map.spec().key_size), next(map.spec().key_size);
  if (key.empty()) return all;
  for (const uint8_t* after = nullptr; map.host_next_key(after, next.data()) == 0; after = key.data()) {
    key = next;
    if (map.host_lookup(key.data(), value.data(), 0) == 0) all.emplace(key, value);
  }
  return all;
}

std::string only_in(const Contents& one, const Contents& other, std::string_view whose) {
  constexpr int kToldEntries = 4;
  std::string text;
  int told = 0;
  for (const auto& [key, value] : one) {
    const auto [first, last] = other.equal_range(key);
    if (std::any_of(first, last, [&](const auto& entry) { return entry.second == value; })) continue;
    if (++told <= kToldEntries) text += fmt::format("  {} [{}] = {}\n", whose, hex(key), hex(value));
  }
  return told > kToldEntries ? text + fmt::format("  {} has {} more\n", whose, told - kToldEntries) : text;
}

bool has_contents_of_its_own(const Map& map) {
  switch (map.spec().type) {
    case arch::ebpf::kMapRingbuf:
    case arch::ebpf::kMapPerfEventArray:
    case arch::ebpf::kMapXskmap:
    case arch::ebpf::kMapBloomFilter:
    case arch::ebpf::kMapStackTrace:
    case arch::ebpf::kMapProgArray:
      return false;  // the kernel engine does not copy them back, or programs cannot change them
    default:
      return true;
  }
}

void compare_map(Map& ours, Map& theirs, PairedRun& result) {
  if (!has_contents_of_its_own(ours)) return;
  if (ours.spec().inner) {
    std::vector<uint8_t> key(ours.spec().key_size), next(ours.spec().key_size);
    for (const uint8_t* after = nullptr; ours.host_next_key(after, next.data()) == 0; after = key.data()) {
      key = next;
      const auto inner = ours.inner(key.data());
      const auto other = theirs.inner(key.data());
      if (inner && other) compare_map(*inner, *other, result);
    }
    return;
  }
  const Contents a = contents(ours), b = contents(theirs);
  if (a == b) return;
  ++result.different;
  result.differences.push_back(fmt::format("map {} (type {}): {} and {} entries\n{}{}", ours.spec().name,
                                           ours.spec().type, a.size(), b.size(), only_in(a, b, "interp"),
                                           only_in(b, a, "other")));
}

bool same_bytes(const Packet& a, const Packet& b) {
  if (a.data - a.data_meta != b.data - b.data_meta || !std::equal(a.data_meta, a.data, b.data_meta)) return false;
  if (a.fragments.empty() && b.fragments.empty()) return std::equal(a.data, a.data_end, b.data, b.data_end);
  return a.bytes() == b.bytes();
}

std::string describe(const Packet& packet) {
  const std::vector<uint8_t> all = packet.bytes();
  const base::Bytes shown = base::Bytes(all).first(std::min<size_t>(all.size(), 160));
  return fmt::format("{} bytes, metadata {}, {}", all.size(), hex(base::Bytes(packet.data_meta, packet.data)),
                     hex(shown));
}

class Runner {
 public:
  Runner(const PairedOptions& options, PairedRun& result)
      : with_kernel_(options.engine == "kernel"),
        interp_(exec::interp::InterpOptions{.checked = with_kernel_, .check_facts = with_kernel_}),
        other_(exec::make_engine(options.engine)),
        mix_(options.seed),
        result_(result),
        ours_(kBatchPackets),
        theirs_(kBatchPackets) {
    CHECK(other_ != nullptr);
    mix_.add_samples(options.samples);
  }
  base::Result<void> load(const std::shared_ptr<const LoadedProgram>& ours,
                          const std::shared_ptr<const LoadedProgram>& theirs);
  // False at the first engine that fails, with the reason among the differences.
  bool batch(size_t count);
  bool finish() { return !other_->pull_maps() ? (tell("the kernel's maps could not be read\n"), false) : true; }

 private:
  void tell(std::string text) {
    ++result_.different;
    if (result_.differences.size() < kToldDifferences) result_.differences.push_back(std::move(text));
  }
  void compare_packet(size_t i, const RandomPacket& input);

  const bool with_kernel_;
  exec::interp::Interp interp_;
  std::unique_ptr<exec::Engine> other_;
  FrameMix mix_;
  PairedRun& result_;
  std::vector<RandomPacket> inputs_ = std::vector<RandomPacket>(kBatchPackets);
  std::vector<Packet> ours_, theirs_;
  std::vector<exec::Verdict> our_verdicts_ = std::vector<exec::Verdict>(kBatchPackets);
  std::vector<exec::Verdict> their_verdicts_ = our_verdicts_;
  base::SystemClock clock_;
  uint64_t random_state_ = 1;
};

base::Result<void> Runner::load(const std::shared_ptr<const LoadedProgram>& ours,
                                const std::shared_ptr<const LoadedProgram>& theirs) {
  XNIC_TRY(other_->load(theirs));
  return interp_.load(ours);
}

void place(const RandomPacket& input, Packet& packet) {
  packet.assign(input.frame);
  packet.data_meta = packet.data - input.metadata.size();
  std::copy(input.metadata.begin(), input.metadata.end(), packet.data_meta);
}

void Runner::compare_packet(size_t i, const RandomPacket& input) {
  const uint32_t a = our_verdicts_[i].code, b = their_verdicts_[i].code;
  result_.verdicts[our_verdicts_[i].action()] += 1;
  const exec::Redirect &c = our_verdicts_[i].redirect, &d = their_verdicts_[i].redirect;
  // Maps have ids of their own on either side.
  const bool same_target = with_kernel_ || (c.kind == d.kind && c.target == d.target && c.flags == d.flags);
  if (a == b && same_target && same_bytes(ours_[i], theirs_[i])) return;
  tell(fmt::format("packet {}: {} bytes, metadata {}, {}\n  interp: verdict {}, {}\n  {}: verdict {}, {}\n",
                   result_.packets + i, input.frame.size(), hex(input.metadata),
                   hex(base::Bytes(input.frame).first(std::min<size_t>(input.frame.size(), 160))), a,
                   describe(ours_[i]), other_->name(), b, describe(theirs_[i])));
}

bool Runner::batch(size_t count) {
  for (size_t i = 0; i < count; ++i) {
    mix_.next(inputs_[i]);
    place(inputs_[i], ours_[i]);
    place(inputs_[i], theirs_[i]);
  }
  exec::RunContext context;
  context.clock = &clock_;
  context.random_state = &random_state_;
  context.cpu = usable_cpu();
  const auto our_run = interp_.run(std::span(ours_).first(count), std::span(our_verdicts_).first(count), context);
  const auto their_run = other_->run(std::span(theirs_).first(count), std::span(their_verdicts_).first(count), context);
  if (!our_run) tell("interp: " + our_run.error().message() + "\n");
  if (!their_run) tell(std::string(other_->name()) + ": " + their_run.error().message() + "\n");
  if (!our_run || !their_run) return false;
  if (interp_.violation()) tell(fmt::format("insn {}: {}\n", interp_.violation()->slot, interp_.violation()->what));
  for (size_t i = 0; i < count; ++i) compare_packet(i, inputs_[i]);
  result_.packets += count;
  return !interp_.violation();
}

}  // namespace

PairedRun run_paired(const std::shared_ptr<const LoadedProgram>& ours,
                     const std::shared_ptr<const LoadedProgram>& theirs, const PairedOptions& options) {
  PairedRun result;
  if (options.engine == "kernel") result.skipped = reason_to_skip(*ours->program);
  if (!result.skipped.empty()) return result;
  const auto random = int32_t(base::Rng(options.seed).below(1u << 31));
  const auto our_program = with_constant_time(ours, random);
  const auto their_program = with_constant_time(theirs, random);
  if (options.fill_maps) {
    FrameMix mix(options.seed);
    mix.add_samples(options.samples);
    std::vector<std::vector<uint8_t>> frames = options.samples;
    for (RandomPacket packet; frames.size() < options.samples.size() + kVocabularyFrames;) {
      mix.next(packet);
      frames.push_back(packet.frame);
    }
    fill_maps(our_program, frames, options.seed);
    fill_maps(their_program, frames, options.seed);
  }
  Runner runner(options, result);
  if (const auto loaded = runner.load(our_program, their_program); !loaded) {
    ++result.different;
    result.differences.push_back("not loaded: " + loaded.error().message() + "\n");
    return result;
  }
  while (result.packets < options.packets) {
    if (!runner.batch(std::min<size_t>(kBatchPackets, options.packets - result.packets))) return result;
  }
  if (!runner.finish()) return result;
  for (size_t i = 0; i < ours->maps.size(); ++i) compare_map(*ours->maps[i], *theirs->maps[i], result);
  return result;
}

bool enter_test_namespace(uint32_t cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  return geteuid() == 0 && sched_setaffinity(0, sizeof one, &one) == 0 && unshare(CLONE_NEWNET) == 0 &&
         std::system("ip link set lo up") == 0;
}

}  // namespace xnic::tests
