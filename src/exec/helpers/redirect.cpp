// SPDX-License-Identifier: Apache-2.0
// bpf_redirect, bpf_redirect_map (kernel include/linux/filter.h __bpf_xdp_redirect_map) and bpf_tail_call. They only
// note the target; the verdict carries it to the datapath.
#include "arch/ebpf/map_types.hpp"
#include "exec/helpers/call.hpp"
#include "exec/helpers/inline.hpp"

namespace xnic::exec::helpers {
namespace {

uint32_t device_id(const LoadedProgram& program, const maps::Map* map) {
  for (size_t i = 0; i < program.maps.size(); ++i) {
    if (program.maps[i].get() == map) return i < program.map_ids.size() ? program.map_ids[i] : 0;
  }
  return 0;
}

}  // namespace

uint64_t redirect(HelperContext& ctx, uint64_t ifindex, uint64_t flags, uint64_t, uint64_t, uint64_t) {
  return inlined::redirect(ctx, ifindex, flags);
}

uint64_t redirect_map(HelperContext& ctx, uint64_t map_value, uint64_t index, uint64_t flags, uint64_t, uint64_t) {
  maps::Map& map = map_of(map_value);
  const RedirectKind kind = inlined::redirect_kind(map.spec().type);
  if (kind == RedirectKind::kNone) return fail(EOPNOTSUPP);
  return inlined::redirect_map(
      ctx, kind, index, flags, [&](uint32_t key) { return map.lookup(&key, ctx.run->cpu) != nullptr; },
      [&] { return device_id(*ctx.program, &map); });
}

uint64_t tail_call(HelperContext& ctx, uint64_t, uint64_t map_value, uint64_t index, uint64_t, uint64_t) {
  const maps::Map& map = map_of(map_value);
  const uint32_t slot = static_cast<uint32_t>(index);
  if (slot >= map.spec().max_entries) return fail(E2BIG);
  if (ctx.tail_calls >= arch::ebpf::kMaxTailCalls) return fail(ELOOP);
  std::shared_ptr<const LoadedProgram> target = map_of(map_value).program(slot);
  if (target == nullptr) return fail(ENOENT);
  ++ctx.tail_calls;
  ctx.tail_call = std::move(target);
  return 0;
}

}  // namespace xnic::exec::helpers
