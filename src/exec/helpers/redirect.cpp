// SPDX-License-Identifier: Apache-2.0
// bpf_redirect, bpf_redirect_map (kernel include/linux/filter.h __bpf_xdp_redirect_map) and bpf_tail_call. They only
// note the target; the verdict carries it to the datapath.
#include <linux/bpf.h>

#include "arch/ebpf/map_types.hpp"
#include "exec/helpers/call.hpp"

namespace xnic::exec::helpers {
namespace {

constexpr uint64_t kFallbackMask = 3;  // the lower two bits of the flags: action when the map has no entry

RedirectKind kind_of(arch::ebpf::MapType type) {
  switch (type) {
    case arch::ebpf::kMapDevmap:
    case arch::ebpf::kMapDevmapHash:
      return RedirectKind::kDevmap;
    case arch::ebpf::kMapCpumap:
      return RedirectKind::kCpumap;
    case arch::ebpf::kMapXskmap:
      return RedirectKind::kXskmap;
    default:
      return RedirectKind::kNone;
  }
}

uint32_t device_id(const LoadedProgram& program, const maps::Map* map) {
  for (size_t i = 0; i < program.maps.size(); ++i) {
    if (program.maps[i].get() == map) return i < program.map_ids.size() ? program.map_ids[i] : 0;
  }
  return 0;
}

}  // namespace

uint64_t redirect(HelperContext& ctx, uint64_t ifindex, uint64_t flags, uint64_t, uint64_t, uint64_t) {
  if (flags != 0) return arch::ebpf::kXdpAborted;
  ctx.redirect = {RedirectKind::kInterface, static_cast<uint32_t>(ifindex), 0, 0};
  return arch::ebpf::kXdpRedirect;
}

uint64_t redirect_map(HelperContext& ctx, uint64_t map_value, uint64_t index, uint64_t flags, uint64_t, uint64_t) {
  maps::Map& map = map_of(map_value);
  const RedirectKind kind = kind_of(map.spec().type);
  if (kind == RedirectKind::kNone) return fail(EOPNOTSUPP);
  const uint64_t own_flags = kind == RedirectKind::kDevmap ? BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS : 0;
  if ((flags & ~(kFallbackMask | own_flags)) != 0) return arch::ebpf::kXdpAborted;
  const uint32_t key = static_cast<uint32_t>(index);
  const bool broadcast = (flags & BPF_F_BROADCAST) != 0;
  if (map.lookup(&key, ctx.run->cpu) == nullptr && !broadcast) {
    ctx.redirect = {};  // the last call decides, also when it fails
    return flags & kFallbackMask;
  }
  ctx.redirect = {kind, key, device_id(*ctx.program, &map), broadcast ? flags : 0};
  return arch::ebpf::kXdpRedirect;
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
