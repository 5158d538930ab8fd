// SPDX-License-Identifier: Apache-2.0
// Helpers without packet or map: time, random numbers, CPU, loops, locks. All time comes from the run's one clock;
// the card has no suspend and no leap seconds, so boot and TAI time are the same as monotonic time.
#include <sched.h>

#include <cstring>

#include "exec/helpers/call.hpp"
#include "exec/helpers/format.hpp"
#include "exec/helpers/inline.hpp"

namespace xnic::exec::helpers {
namespace {

constexpr uint64_t kJiffyNs = 4'000'000;          // CONFIG_HZ=250, Debian's kernels
constexpr uint64_t kCoarseNs = kJiffyNs;          // the coarse clock moves with the tick
constexpr uint32_t kMaxLoops = 8u * 1024 * 1024;  // kernel BPF_MAX_LOOPS

}  // namespace

uint64_t now_ns(const RunContext* run) {
  static const base::SystemClock system_clock;
  return run->clock != nullptr ? run->clock->monotonic_ns() : system_clock.monotonic_ns();
}

uint64_t ktime_get_ns(HelperContext& ctx, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) { return now_ns(ctx.run); }
uint64_t ktime_get_boot_ns(HelperContext& ctx, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) {
  return now_ns(ctx.run);
}
uint64_t ktime_get_tai_ns(HelperContext& ctx, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) {
  return now_ns(ctx.run);
}
uint64_t ktime_get_coarse_ns(HelperContext& ctx, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) {
  return now_ns(ctx.run) / kCoarseNs * kCoarseNs;
}
uint64_t jiffies64(HelperContext& ctx, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) {
  return now_ns(ctx.run) / kJiffyNs;
}

uint64_t get_prandom_u32(HelperContext& ctx, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) {
  return inlined::random_word(ctx);
}

uint64_t get_smp_processor_id(HelperContext& ctx, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) {
  return ctx.run->cpu;
}
uint64_t get_numa_node_id(HelperContext&, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) { return 0; }

// kernel/bpf/bpf_iter.c, bpf_loop.
uint64_t loop(HelperContext& ctx, uint64_t count, uint64_t callback, uint64_t data, uint64_t flags, uint64_t) {
  const uint32_t times = static_cast<uint32_t>(count);
  if (flags != 0) return fail(EINVAL);
  if (times > kMaxLoops) return fail(E2BIG);
  for (uint32_t i = 0; i < times; ++i) {
    if (ctx.invoke(ctx, callback, i, data, 0, 0, 0) != 0) return i + 1;
    if (ctx.stopped) break;
  }
  return times;
}

// bpf_spin_lock: 0 free, 1 held; the maps use the same word for BPF_F_LOCK.
uint64_t spin_lock(HelperContext&, uint64_t lock, uint64_t, uint64_t, uint64_t, uint64_t) {
  uint32_t* word = pointer<uint32_t>(lock);
  for (uint32_t spins = 1; __atomic_exchange_n(word, 1u, __ATOMIC_ACQUIRE) != 0; ++spins) {
    if (spins % 64 == 0) sched_yield();  // the holder may wait for this processor
  }
  return 0;
}
uint64_t spin_unlock(HelperContext&, uint64_t lock, uint64_t, uint64_t, uint64_t, uint64_t) {
  __atomic_store_n(pointer<uint32_t>(lock), 0u, __ATOMIC_RELEASE);
  return 0;
}

// Reads memory that the card owns; for the rest of the address space the answer is the kernel's for unmapped memory.
uint64_t probe_read_kernel(HelperContext& ctx, uint64_t to, uint64_t bytes, uint64_t from, uint64_t, uint64_t) {
  const uint32_t count = static_cast<uint32_t>(bytes);
  if (count == 0) return 0;
  if (!readable(ctx, from, count)) {
    std::memset(pointer<void>(to), 0, count);
    return fail(EFAULT);
  }
  std::memmove(pointer<void>(to), pointer<const void>(from), count);
  return 0;
}

// Copies up to and including the NUL, cutting the string to fit; returns the bytes written.
uint64_t probe_read_kernel_str(HelperContext& ctx, uint64_t to, uint64_t bytes, uint64_t from, uint64_t, uint64_t) {
  const uint32_t count = static_cast<uint32_t>(bytes);
  if (count == 0) return 0;
  const int64_t length = string_length(ctx, from, count - 1);
  if (length < 0) {
    std::memset(pointer<void>(to), 0, count);
    return fail(EFAULT);
  }
  std::memmove(pointer<void>(to), pointer<const void>(from), static_cast<size_t>(length));
  pointer<char>(to)[length] = '\0';
  return static_cast<uint64_t>(length) + 1;
}

}  // namespace xnic::exec::helpers
