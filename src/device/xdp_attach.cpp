// SPDX-License-Identifier: Apache-2.0
// The rules of net/core/dev.c dev_xdp_attach, in its order and with its words, for a card whose ports have one program
// each: a second one in another mode is refused, where a kernel may hold one program in the driver and one on the card.
// What an offloading driver adds (drivers/net/netdevsim/bpf.c nsim_setup_prog_checks) is here, too.
#include "device/xdp_attach.hpp"

#include <linux/if_link.h>

#include <bit>
#include <cerrno>

#include "device/ports.hpp"
#include "device/state.hpp"

namespace xnic::device {

namespace {

// A port is driven by the card itself: native mode unless another is asked for.
uint32_t mode_of(uint32_t flags) {
  const uint32_t mode = flags & XDP_FLAGS_MODES;
  return mode == 0 ? uint32_t{XDP_FLAGS_DRV_MODE} : mode;
}

struct Refusal {
  int error;
  const char* why;
};

// Whether `program` can run on this port in this mode.
Refusal check_program(const ProgramObject& program, uint32_t ifindex, uint32_t mode) {
  const uint32_t attach = program.loaded.program->expected_attach_type;
  const bool offloaded = program.ifindex != 0 && !program.bound_only;
  if (mode != XDP_FLAGS_HW_MODE && offloaded)
    return {-EINVAL, "Using offloaded program without HW_MODE flag is not supported"};
  if (program.ifindex != 0 && program.ifindex != ifindex) return {-EINVAL, "Program bound to different device"};
  if (program.ifindex != 0 && mode == XDP_FLAGS_SKB_MODE)
    return {-EINVAL, "Can't attach device-bound programs in generic mode"};
  if (attach == BPF_XDP_DEVMAP) return {-EINVAL, "BPF_XDP_DEVMAP programs can not be attached to a device"};
  if (attach == BPF_XDP_CPUMAP) return {-EINVAL, "BPF_XDP_CPUMAP programs can not be attached to a device"};
  if (mode == XDP_FLAGS_HW_MODE && !offloaded) return {-EINVAL, "xdpoffload of non-bound program"};
  return {0, ""};
}

}  // namespace

uint32_t xdp_mode(uint32_t flags) { return mode_of(flags); }

// Pre: mutex_ is held.
int PortTable::check_direct(const Port& port, uint32_t ifindex, const DirectOrder& order, std::string& why) const {
  const auto refuse = [&](int error, const char* text) {
    why = text;
    return error;
  };
  const uint32_t mode = mode_of(order.flags);
  const bool same_mode = mode_of(port.link ? port.link->flags : port.direct_flags) == mode;
  if (port.link && (same_mode || !order.program)) return refuse(-EBUSY, "Can't replace active BPF XDP link");
  const ProgramObject* current = same_mode ? port.direct.get() : nullptr;
  if ((order.flags & XDP_FLAGS_REPLACE) && current != order.expected)
    return refuse(-EEXIST, "Active program does not match expected");
  if (!order.program) return 0;
  if ((order.flags & XDP_FLAGS_UPDATE_IF_NOEXIST) && current) return refuse(-EBUSY, "XDP program already attached");
  if (!same_mode && (port.link || port.direct)) {
    const uint32_t other = mode_of(port.link ? port.link->flags : port.direct_flags);
    const bool hardware = mode == XDP_FLAGS_HW_MODE || other == XDP_FLAGS_HW_MODE;
    return refuse(-EEXIST, hardware ? "A port of the card runs one program: offloaded and other XDP can't be active at "
                                      "the same time"
                                    : "Native and generic XDP can't be active at the same time");
  }
  const Refusal refusal = check_program(*order.program, ifindex, mode);
  return refusal.error == 0 ? 0 : refuse(refusal.error, refusal.why);
}

int PortTable::set_direct(uint32_t ifindex, DirectOrder order, std::string& why) {
  std::shared_ptr<ProgramObject> gone;  // let go of after the locks
  std::lock_guard change(changes_);
  {
    std::lock_guard lock(mutex_);
    const auto port = ports_.find(ifindex);
    if (port == ports_.end()) return -ENODEV;
    if (int error = check_direct(port->second, ifindex, order, why)) return error;
    const bool same_mode = mode_of(port->second.direct_flags) == mode_of(order.flags);
    const bool unset = !order.program && (!port->second.direct || !((order.flags & XDP_FLAGS_MODES) == 0 || same_mode));
    if (unset || port->second.direct == order.program) return 0;  // nothing changes
  }
  if (int error = tell(ifindex, order.program); error != 0 && order.program) {
    why = "The card's engine can't run the program";
    return error;
  }
  std::lock_guard lock(mutex_);
  const auto port = ports_.find(ifindex);
  if (port == ports_.end()) return -ENODEV;
  gone = std::exchange(port->second.direct, std::move(order.program));
  port->second.direct_flags = order.flags;
  return 0;
}

XdpState PortTable::xdp_state(uint32_t ifindex) const {
  std::lock_guard lock(mutex_);
  const auto port = ports_.find(ifindex);
  if (port == ports_.end()) return {};
  if (const LinkObject* link = port->second.link) return {link->program ? link->program->id : 0, mode_of(link->flags)};
  if (port->second.direct) return {port->second.direct->id, mode_of(port->second.direct_flags)};
  return {};
}

int Device::attach_xdp(const Caller& caller, const XdpRequest& request, std::string& why) {
  if (std::popcount(request.flags & XDP_FLAGS_MODES) > 1) {
    why = "Only one XDP mode flag can be set";
    return -EINVAL;
  }
  const auto find = [&](int fd, std::shared_ptr<ProgramObject>& program) {
    if (fd < 0) return 0;
    FileIdentity identity;
    if (int error = caller.identify(fd, identity)) return error;
    const auto object = state_->objects.find(identity);
    if (!object || object->kind != ObjectKind::kProgram) return -EINVAL;
    program = std::static_pointer_cast<ProgramObject>(object);
    return program->type == BPF_PROG_TYPE_XDP ? 0 : -EINVAL;
  };
  PortTable::DirectOrder order;
  std::shared_ptr<ProgramObject> expected;
  if (int error = find(request.fd, order.program)) return error;
  if (request.expected_fd)
    if (int error = find(*request.expected_fd, expected)) return error;
  if (expected && (request.flags & XDP_FLAGS_REPLACE) == 0) {
    why = "XDP_FLAGS_REPLACE is not specified";
    return -EINVAL;
  }
  order.expected = expected.get();
  order.flags = request.flags;
  state_->objects.sweep();  // a link whose handles are closed must not be in the way
  return state_->ports.set_direct(request.ifindex, std::move(order), why);
}

XdpState Device::xdp_state(uint32_t ifindex) const { return state_->ports.xdp_state(ifindex); }

}  // namespace xnic::device
