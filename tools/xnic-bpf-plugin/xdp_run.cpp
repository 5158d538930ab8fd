// SPDX-License-Identifier: Apache-2.0
// Two loads, two runs: an XDP program returns 32 bits. The packet is padded to a length that every engine takes.
#include "xnic-bpf-plugin/xdp_run.hpp"

#include <unistd.h>

#include <cstring>

#include "arch/ebpf/flat_entry.hpp"
#include "device/device.hpp"

namespace xnic::bpf_plugin {
namespace {

using base::ErrorKind;
using base::make_error;
using base::Result;

constexpr size_t kMinPacketBytes = 64;

Result<std::shared_ptr<const exec::LoadedProgram>> load(device::Device& device,
                                                        std::span<const arch::ebpf::RawInsn> insns) {
  std::vector<char> log(1 << 20);
  bpf_attr attr;
  std::memset(&attr, 0, sizeof attr);
  attr.prog_type = BPF_PROG_TYPE_XDP;
  attr.insn_cnt = static_cast<uint32_t>(insns.size());
  attr.insns = reinterpret_cast<uint64_t>(insns.data());
  attr.license = reinterpret_cast<uint64_t>("GPL");
  attr.log_level = 1;
  attr.log_size = static_cast<uint32_t>(log.size());
  attr.log_buf = reinterpret_cast<uint64_t>(log.data());
  const long fd = device.bpf(BPF_PROG_LOAD, &attr, sizeof attr);
  if (fd < 0) return make_error(ErrorKind::kBadInput, "verifier", "{}", log.data());
  auto program = device.program(static_cast<int>(fd));
  close(static_cast<int>(fd));
  return program;
}

}  // namespace

Result<uint64_t> run_as_xdp(const std::string& engine_name, std::span<const arch::ebpf::RawInsn> program,
                            const std::optional<std::vector<uint8_t>>& memory) {
  const auto memory_bytes = memory ? std::optional(static_cast<uint32_t>(memory->size())) : std::nullopt;
  std::vector<uint8_t> frame = memory.value_or(std::vector<uint8_t>{});
  frame.resize(std::max(frame.size(), kMinPacketBytes));
  device::Device device;
  uint64_t result = 0;
  for (const bool upper : {false, true}) {
    const auto whole = arch::ebpf::with_flat_entry(program, memory_bytes, upper);
    XNIC_ASSIGN(auto loaded, load(device, whole));
    auto engine = exec::make_engine(engine_name);
    XNIC_TRY(engine->load(std::move(loaded)));
    exec::packet::Packet packet;
    packet.assign(frame);
    exec::Verdict verdict;
    const base::SystemClock clock;
    uint64_t random_state = 1;
    const exec::RunContext context{.clock = &clock, .random_state = &random_state};
    XNIC_TRY(engine->run({&packet, 1}, {&verdict, 1}, context));
    result |= uint64_t{verdict.code} << (upper ? 32 : 0);
  }
  return result;
}

}  // namespace xnic::bpf_plugin
