// SPDX-License-Identifier: Apache-2.0
// PROG_TEST_RUN for XDP programs (net/bpf/test_run.c bpf_prog_test_run_xdp): one packet, `repeat` times, each run going
// on from the packet that the one before left. The context carries metadata in front of the packet (data = its length),
// the length of the linear part (data_end), and the receiving port and queue.
#include <algorithm>
#include <cerrno>

#include "device/state.hpp"

namespace xnic::device {
namespace {

using exec::packet::Packet;
namespace packet = exec::packet;

constexpr uint32_t kMaxMetaBytes = 255;  // skb_metadata_len is a byte; multiples of 4
constexpr uint32_t kMaxFragments = 17;   // MAX_SKB_FRAGS
constexpr uint32_t kMaxTestBytes = packet::kMaxLinearBytes + kMaxFragments * packet::kFragmentBytes;
constexpr uint32_t kMaxRepeat = 1'000'000'000;

struct TestRun {
  bool has_context = false;
  xdp_md context{};
  std::vector<uint8_t> data;
};

int read_context(const Command& command, TestRun& run) {
  const auto& attr = command.attr.test;
  if ((attr.ctx_size_in != 0) != (attr.ctx_in != 0) || (attr.ctx_size_out != 0) != (attr.ctx_out != 0)) return -EINVAL;
  run.has_context = attr.ctx_in || attr.ctx_out;
  run.context.data_end = attr.data_size_in;
  if (!attr.ctx_in) return 0;
  run.context = {};
  if (attr.ctx_size_in > sizeof run.context)
    if (int error = command.caller.check_zero(attr.ctx_in + sizeof run.context, attr.ctx_size_in - sizeof run.context))
      return error;
  return command.caller.read(attr.ctx_in, &run.context, std::min<size_t>(attr.ctx_size_in, sizeof run.context));
}

int check_context(const Command& command, const TestRun& run) {
  const xdp_md& context = run.context;
  if (!command.attr.test.ctx_in) return 0;
  if (context.data_meta != 0 || context.data_end > command.attr.test.data_size_in || context.data > context.data_end)
    return -EINVAL;
  if (context.data > kMaxMetaBytes || context.data % 4 != 0) return -EINVAL;
  if (context.egress_ifindex != 0) return -EINVAL;
  if (context.ingress_ifindex == 0) return context.rx_queue_index == 0 ? 0 : -EINVAL;
  if (!command.state.ports.exists(context.ingress_ifindex)) return -ENODEV;
  return context.rx_queue_index < command.state.ports.queues(context.ingress_ifindex) ? 0 : -EINVAL;
}

// Lays out metadata, linear part and fragments as the context asks.
void fill_packet(const TestRun& run, Packet& frame) {
  base::Bytes all = run.data;
  uint32_t meta = run.context.data;
  uint32_t linear = std::min<uint32_t>(run.context.data_end - meta, packet::kMaxLinearBytes - meta);
  frame.assign(all.subspan(meta, linear));
  std::memcpy(frame.data - meta, all.data(), meta);
  frame.data_meta = frame.data - meta;
  for (size_t at = meta + linear; at < all.size(); at += packet::kFragmentBytes) {
    Packet::Fragment fragment;
    fragment.buffer = std::make_unique<uint8_t[]>(packet::kFragmentBytes);
    fragment.size = static_cast<uint32_t>(std::min<size_t>(packet::kFragmentBytes, all.size() - at));
    std::memcpy(fragment.buffer.get(), all.data() + at, fragment.size);
    frame.fragments.push_back(std::move(fragment));
  }
  frame.ingress_ifindex = run.context.ingress_ifindex ? run.context.ingress_ifindex : 1;
  frame.rx_queue = run.context.rx_queue_index;
}

// Runs; `verdict` is the last run's, `duration_ns` the mean of one run.
int run_program(Command& command, const std::shared_ptr<ProgramObject>& program, Packet& frame, exec::Verdict& verdict,
                uint32_t& duration_ns) {
  auto& state = command.state;
  std::lock_guard lock(program->engine_mutex);
  if (!program->engine) {
    auto engine = exec::make_engine(state.test_run_engine);
    if (!engine) return -EOPNOTSUPP;
    // The engine must not own the program object that owns it.
    std::shared_ptr<const exec::LoadedProgram> loaded(std::shared_ptr<void>(), &program->loaded);
    if (auto result = engine->load(std::move(loaded)); !result)
      return result.error().kind == base::ErrorKind::kUnsupported ? -EOPNOTSUPP : -EIO;
    program->engine = std::move(engine);
  }
  exec::RunContext context;
  context.clock = state.clock;
  context.cpu = 0;
  std::lock_guard random_lock(state.random_mutex);
  context.random_state = &state.random_state;
  uint32_t repeat = std::clamp<uint32_t>(command.attr.test.repeat, 1, kMaxRepeat);
  base::SystemClock stopwatch;
  uint64_t start = stopwatch.monotonic_ns();
  for (uint32_t i = 0; i < repeat; ++i)
    if (!program->engine->run({&frame, 1}, {&verdict, 1}, context)) return -EIO;
  uint64_t spent = stopwatch.monotonic_ns() - start;
  program->run_count += repeat;
  program->run_ns += spent;
  duration_ns = static_cast<uint32_t>(std::min<uint64_t>(spent / repeat, UINT32_MAX));
  return 0;
}

// Results: data, context, then the numbers. -ENOSPC when the caller's room is too small; the sizes are written anyway.
int write_results(const Command& command, const TestRun& run, const Packet& frame, const exec::Verdict& verdict,
                  uint32_t duration_ns) {
  const auto& attr = command.attr.test;
  int result = 0;
  uint32_t meta = static_cast<uint32_t>(frame.data - frame.data_meta);
  std::vector<uint8_t> bytes(frame.data_meta, frame.data);
  auto rest = frame.bytes();
  bytes.insert(bytes.end(), rest.begin(), rest.end());
  uint32_t size = static_cast<uint32_t>(bytes.size());
  if (attr.data_out) {
    uint32_t room = attr.data_size_out ? attr.data_size_out : size;  // no size given: the kernel trusts the caller
    if (room < size) result = -ENOSPC;
    if (int error = command.caller.write_some(attr.data_out, bytes.data(), size, room)) return error;
  }
  if (int error = command.put(offsetof(union bpf_attr, test.data_size_out), size)) return error;
  if (int error = command.put(offsetof(union bpf_attr, test.retval), verdict.code)) return error;
  if (int error = command.put(offsetof(union bpf_attr, test.duration), duration_ns)) return error;
  if (result != 0 || !attr.ctx_out) return result;

  xdp_md context = run.context;
  context.data = meta;
  context.data_end = meta + static_cast<uint32_t>(frame.data_end - frame.data);
  uint32_t context_bytes = sizeof context;
  if (attr.ctx_size_out < context_bytes) result = -ENOSPC;
  if (int error = command.caller.write_some(attr.ctx_out, &context, context_bytes, attr.ctx_size_out)) return error;
  if (int error = command.put(offsetof(union bpf_attr, test.ctx_size_out), context_bytes)) return error;
  return result;
}

}  // namespace

long program_test_run(Command& command) {
  const auto& attr = command.attr.test;
  if (!command.clean_after(XNIC_ATTR_END(test.batch_size))) return -EINVAL;
  std::shared_ptr<ProgramObject> program;
  if (int error = command.program(static_cast<int>(attr.prog_fd), program)) return error;
  if (program->type != BPF_PROG_TYPE_XDP) return -kErrnoNotSupported;
  uint32_t attach = program->loaded.program->expected_attach_type;
  if (attach == BPF_XDP_DEVMAP || attach == BPF_XDP_CPUMAP) return -EINVAL;
  if (attr.flags & ~uint32_t{BPF_F_TEST_XDP_LIVE_FRAMES}) return -EINVAL;
  if (attr.flags) return -EOPNOTSUPP;  // live frames leave through ports; the test run has none
  if (attr.batch_size != 0) return -EINVAL;

  TestRun run;
  if (int error = read_context(command, run)) return error;
  if (int error = check_context(command, run)) return error;
  if (attr.data_size_in < run.context.data + packet::kMinFrameBytes) return -EINVAL;
  if (run.context.data_end < packet::kMinFrameBytes) return -EINVAL;
  if (attr.data_size_in > kMaxTestBytes) return -ENOMEM;
  run.data.resize(attr.data_size_in);
  if (int error = command.caller.read(attr.data_in, run.data.data(), run.data.size())) return error;

  Packet frame;
  fill_packet(run, frame);
  exec::Verdict verdict;
  uint32_t duration_ns = 0;
  if (int error = run_program(command, program, frame, verdict, duration_ns)) return error;
  return write_results(command, run, frame, verdict, duration_ns);
}

}  // namespace xnic::device
