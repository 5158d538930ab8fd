// SPDX-License-Identifier: Apache-2.0
// Runs packets by BPF_PROG_TEST_RUN with repeat = 1: a repeat of two and more makes the kernel swap its XDP dispatcher
// and wait for an RCU period, 20 ms a call.
//
// Measured on 6.18: a frame is 14..73152 bytes, of which at most 3520 are linear and the rest lies in up to 17
// fragments, for programs with and without BPF_F_XDP_HAS_FRAGS alike; metadata is at most 216 bytes, a multiple of 4,
// and takes nothing from the linear part; the context's data_end is how much of metadata and frame shall be linear, so
// that a context of zeroes would put all of the frame into fragments.
#include "exec/kernel/kernel.hpp"

#include <sched.h>

#include <cerrno>
#include <cstring>

#include "base/check.hpp"
#include "exec/kernel/objects.hpp"

namespace xnic::exec::kernel {
namespace {

// Longest frame and metadata that can come back: the largest that goes in, grown by the headroom and by the last
// fragment's free bytes.
constexpr size_t kOutBytes = 73152 + packet::kHeadroomBytes + packet::kFragmentBytes;

// Keeps the calling thread on one CPU while it lives, as the interpreter's RunContext::cpu says.
class OnCpu {
 public:
  explicit OnCpu(uint32_t cpu) {
    cpu_set_t wanted;
    CPU_ZERO(&wanted);
    CPU_SET(cpu, &wanted);
    changed_ = sched_getaffinity(0, sizeof before_, &before_) == 0 && !CPU_EQUAL(&before_, &wanted);
    ok_ = !changed_ || sched_setaffinity(0, sizeof wanted, &wanted) == 0;
  }
  ~OnCpu() {
    if (changed_) sched_setaffinity(0, sizeof before_, &before_);
  }
  OnCpu(const OnCpu&) = delete;
  OnCpu& operator=(const OnCpu&) = delete;
  bool ok() const { return ok_; }

 private:
  cpu_set_t before_;
  bool changed_ = false;
  bool ok_ = false;
};

// Puts the frame that came back into the packet: `meta_bytes` of metadata, then the frame.
void take_back(packet::Packet& packet, base::Bytes out, uint32_t meta_bytes) {
  packet.assign(out.subspan(meta_bytes));
  packet.data_meta = packet.data - meta_bytes;
  std::memcpy(packet.data_meta, out.data(), meta_bytes);
}

std::string refusal(const packet::Packet& packet, uint32_t meta_bytes) {
  return fmt::format("the kernel did not run a packet of {} bytes, {} of metadata, on interface {} queue {}",
                     packet.size(), meta_bytes, packet.ingress_ifindex, packet.rx_queue);
}

}  // namespace

struct Kernel::State {
  std::shared_ptr<const LoadedProgram> program;
  Objects objects;
  int fd = -1;  // owned by objects
  EngineCounters counters;
  std::vector<uint8_t> in;
  std::vector<uint8_t> out = std::vector<uint8_t>(kOutBytes);

  base::Result<void> run_one(packet::Packet& packet, Verdict& verdict);
};

base::Result<void> Kernel::State::run_one(packet::Packet& packet, Verdict& verdict) {
  const auto meta_bytes = static_cast<uint32_t>(packet.data - packet.data_meta);
  in.assign(packet.data_meta, packet.data_end);
  for (const auto& fragment : packet.fragments) {
    const uint8_t* begin = fragment.buffer.get() + fragment.offset;
    in.insert(in.end(), begin, begin + fragment.size);
  }
  struct xdp_md context_in{};
  context_in.data = meta_bytes;
  context_in.data_end = static_cast<uint32_t>(in.size());
  context_in.ingress_ifindex = packet.ingress_ifindex;
  context_in.rx_queue_index = packet.rx_queue;
  context_in.egress_ifindex = packet.egress_ifindex;
  struct xdp_md context_out{};

  union bpf_attr attr{};
  attr.test.prog_fd = static_cast<uint32_t>(fd);
  attr.test.data_in = attr_pointer(in.data());
  attr.test.data_size_in = static_cast<uint32_t>(in.size());
  attr.test.data_out = attr_pointer(out.data());
  attr.test.data_size_out = static_cast<uint32_t>(out.size());
  attr.test.ctx_in = attr_pointer(&context_in);
  attr.test.ctx_size_in = sizeof context_in;
  attr.test.ctx_out = attr_pointer(&context_out);
  attr.test.ctx_size_out = sizeof context_out;
  attr.test.repeat = 1;
  if (const long error = bpf_call(BPF_PROG_TEST_RUN, attr); error < 0)
    return kernel_error("program " + program->program->name, refusal(packet, meta_bytes), error);

  counters.packets += 1;
  counters.bytes += packet.size();
  counters.run_ns += attr.test.duration;
  verdict = Verdict{attr.test.retval, {}};
  counters.actions[verdict.action()] += 1;
  take_back(packet, base::Bytes(out.data(), attr.test.data_size_out), context_out.data);
  return {};
}

Kernel::Kernel() : state_(std::make_unique<State>()) {}
Kernel::~Kernel() = default;

base::Result<void> Kernel::load(std::shared_ptr<const LoadedProgram> program) {
  auto state = std::make_unique<State>();
  state->program = std::move(program);
  XNIC_ASSIGN(state->fd, state->objects.program(state->program));
  XNIC_TRY(state->objects.push());
  state_ = std::move(state);
  return {};
}

base::Result<void> Kernel::run(std::span<packet::Packet> packets, std::span<Verdict> verdicts,
                               const RunContext& context) {
  CHECK(packets.size() == verdicts.size());
  if (state_->fd < 0) return base::make_error(base::ErrorKind::kBadInput, "engine kernel", "no program is loaded");
  const OnCpu pinned(context.cpu);
  if (!pinned.ok())
    return base::make_error(base::ErrorKind::kIo, "engine kernel", "this thread may not run on CPU {}", context.cpu);
  for (size_t i = 0; i < packets.size(); ++i) XNIC_TRY(state_->run_one(packets[i], verdicts[i]));
  return {};
}

base::Result<void> Kernel::push_maps() { return state_->objects.push(); }
base::Result<void> Kernel::pull_maps() { return state_->objects.pull(); }
EngineCounters Kernel::counters() const { return state_->counters; }

}  // namespace xnic::exec::kernel
