// SPDX-License-Identifier: Apache-2.0
// Packets go in batches, because each engine's run() has costs of its own; a difference is reported with its packet.
#include "paired_run.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "arch/ebpf/helpers.hpp"
#include "base/check.hpp"
#include "compare.hpp"
#include "exec/interp/interp.hpp"
#include "frame_mix.hpp"
#include "prepared.hpp"

namespace xnic::tests {
namespace {

using arch::ebpf::Program;
using exec::LoadedProgram;
using exec::maps::Map;
using exec::packet::Packet;

constexpr size_t kBatchPackets = 256;
constexpr size_t kToldDifferences = 3;
constexpr uint32_t kAttachXdp = 37;  // enum bpf_attach_type BPF_XDP; 0: not said

// Names of helpers whose result is the kernel's own; nothing else knows it.
constexpr std::string_view kKernelsOwn[] = {"tcp_raw_gen_syncookie_ipv4", "tcp_raw_gen_syncookie_ipv6",
                                            "tcp_raw_check_syncookie_ipv4", "tcp_raw_check_syncookie_ipv6"};

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
  const auto our_program = with_constant_time(ours, options.seed);
  const auto their_program = with_constant_time(theirs, options.seed);
  if (options.fill_maps) {
    fill_from_mix(our_program, options.samples, options.seed);
    fill_from_mix(their_program, options.samples, options.seed);
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
