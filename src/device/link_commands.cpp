// SPDX-License-Identifier: Apache-2.0
// Ports and XDP links: LINK_CREATE, LINK_UPDATE, LINK_DETACH. A port has at most one program, whatever mode the caller
// asks for: driver, generic and offload mode are the same thing on this card.
#include <linux/if_link.h>

#include <bit>
#include <cerrno>
#include <utility>

#include "device/ports.hpp"
#include "device/state.hpp"

namespace xnic::device {

LinkObject::~LinkObject() { ports.detach(*this); }

bool PortTable::add(uint32_t ifindex, const std::string& name, uint32_t queues) {
  std::lock_guard lock(mutex_);
  if (ifindex == 0 || queues == 0) return false;
  for (const auto& [index, port] : ports_)
    if (port.name == name) return false;
  return ports_.emplace(ifindex, Port{.name = name, .queues = queues}).second;
}

bool PortTable::remove(uint32_t ifindex) {
  std::shared_ptr<ProgramObject> gone;  // let go of after the lock
  std::lock_guard lock(mutex_);
  auto port = ports_.find(ifindex);
  if (port == ports_.end()) return false;
  gone = std::move(port->second.direct);
  if (LinkObject* link = port->second.link) link->ifindex = 0;  // keeps its program, as the kernel's defunct links do
  ports_.erase(port);
  return true;
}

bool PortTable::exists(uint32_t ifindex) const {
  std::lock_guard lock(mutex_);
  return ports_.contains(ifindex);
}

uint32_t PortTable::queues(uint32_t ifindex) const {
  std::lock_guard lock(mutex_);
  auto port = ports_.find(ifindex);
  return port == ports_.end() ? 0 : port->second.queues;
}

std::shared_ptr<ProgramObject> PortTable::program(uint32_t ifindex) const {
  std::lock_guard lock(mutex_);
  auto port = ports_.find(ifindex);
  if (port == ports_.end()) return nullptr;
  return port->second.link ? port->second.link->program : port->second.direct;
}

void PortTable::set_listener(PortListener* listener) {
  std::lock_guard change(changes_);
  listener_ = listener;
}

// Pre: changes_ is held.
int PortTable::tell(uint32_t ifindex, const std::shared_ptr<ProgramObject>& program) const {
  if (listener_ == nullptr) return 0;
  return listener_->program_changes(ifindex, program ? program_ref(program) : nullptr);
}

// Pre of both checks: mutex_ is held.
int PortTable::check_attach(uint32_t ifindex, uint32_t flags) const {
  auto port = ports_.find(ifindex);
  if (port == ports_.end()) return -EINVAL;
  const LinkObject* present = port->second.link;
  if (present == nullptr && port->second.direct == nullptr) return 0;
  bool same_mode = xdp_mode(present ? present->flags : port->second.direct_flags) == xdp_mode(flags);
  return same_mode ? -EBUSY : -EEXIST;
}

int PortTable::check_replace(const LinkObject& link, const ProgramObject& program,
                             const ProgramObject* expected) const {
  if (link.ifindex == 0) return -ENOLINK;
  if (expected && link.program.get() != expected) return -EPERM;
  bool same_type = link.program->loaded.program->expected_attach_type == program.loaded.program->expected_attach_type;
  return same_type ? 0 : -EINVAL;
}

// The listener may take long (it compiles), so readers are not kept waiting meanwhile. The port may go in that time.
int PortTable::attach(LinkObject& link, uint32_t ifindex, uint32_t flags, std::shared_ptr<ProgramObject> program) {
  std::lock_guard change(changes_);
  {
    std::lock_guard lock(mutex_);
    if (int error = check_attach(ifindex, flags)) return error;
  }
  if (int error = tell(ifindex, program)) return error;
  std::lock_guard lock(mutex_);
  auto port = ports_.find(ifindex);
  if (port == ports_.end()) return -EINVAL;
  link.program = std::move(program);
  link.ifindex = ifindex;
  link.flags = flags;
  port->second.link = &link;
  return 0;
}

int PortTable::replace(LinkObject& link, std::shared_ptr<ProgramObject> program, const ProgramObject* expected) {
  // After the locks are released, `program` is the old one.
  std::lock_guard change(changes_);
  uint32_t ifindex = 0;
  {
    std::lock_guard lock(mutex_);
    if (int error = check_replace(link, *program, expected)) return error;
    ifindex = link.ifindex;
  }
  if (int error = tell(ifindex, program)) return error;
  std::lock_guard lock(mutex_);
  if (link.ifindex == 0) return -ENOLINK;
  std::swap(link.program, program);
  return 0;
}

void PortTable::detach(LinkObject& link) {
  std::lock_guard change(changes_);
  uint32_t ifindex = 0;
  {
    std::lock_guard lock(mutex_);
    if (link.ifindex == 0) return;
    ifindex = std::exchange(link.ifindex, 0);
    ports_.at(ifindex).link = nullptr;
  }
  tell(ifindex, nullptr);
}

PortTable::LinkView PortTable::view(const LinkObject& link) const {
  std::lock_guard lock(mutex_);
  return {link.ifindex, link.program ? link.program->id : 0};
}

namespace {

// Whether `program` can run on `ifindex` at all.
int check_program(const ProgramObject& program, uint32_t ifindex) {
  if (program.type != BPF_PROG_TYPE_XDP) return -EINVAL;
  uint32_t attach = program.loaded.program->expected_attach_type;
  if (attach == BPF_XDP_DEVMAP || attach == BPF_XDP_CPUMAP) return -EINVAL;  // they run from a map, not on a port
  if (program.ifindex != 0 && program.ifindex != ifindex) return -EINVAL;    // bound to another port
  return 0;
}

}  // namespace

long link_create(Command& command) {
  const auto& attr = command.attr.link_create;
  std::shared_ptr<ProgramObject> program;
  if (int error = command.program(static_cast<int>(attr.prog_fd), program)) return error;
  if (attr.attach_type != BPF_XDP) return -EINVAL;
  // The fields behind `flags` belong to other attach types.
  if (!command.clean_after(XNIC_ATTR_END(link_create.flags))) return -EINVAL;
  if ((attr.flags & ~XDP_FLAGS_MODES) || std::popcount(attr.flags & XDP_FLAGS_MODES) > 1) return -EINVAL;
  if (!command.state.ports.exists(attr.target_ifindex)) return -EINVAL;
  if (int error = check_program(*program, attr.target_ifindex)) return error;

  command.state.objects.sweep();  // a link whose handles are closed must not be in the way
  auto link = std::make_shared<LinkObject>(command.state.ports);
  link->uid = command.caller.uid();
  if (int error = command.state.objects.make_handle(*link, "xnic-link")) return error;
  if (int error = command.state.ports.attach(*link, attr.target_ifindex, attr.flags, std::move(program))) return error;
  link->id = command.state.objects.allocate_id(ObjectKind::kLink);
  int fd = command.state.objects.publish(link, Access::kReadWrite);
  return fd < 0 ? fd : command.caller.give(fd);
}

long link_update(Command& command) {
  const auto& attr = command.attr.link_update;
  if (!command.clean_after(XNIC_ATTR_END(link_update.old_prog_fd)) || (attr.flags & ~BPF_F_REPLACE)) return -EINVAL;
  std::shared_ptr<LinkObject> link;
  if (int error = command.object(static_cast<int>(attr.link_fd), ObjectKind::kLink, link)) return error;
  std::shared_ptr<ProgramObject> program, expected;
  if (int error = command.program(static_cast<int>(attr.new_prog_fd), program)) return error;
  if (attr.flags & BPF_F_REPLACE) {
    if (int error = command.program(static_cast<int>(attr.old_prog_fd), expected)) return error;
  } else if (attr.old_prog_fd != 0) {
    return -EINVAL;
  }
  uint32_t ifindex = command.state.ports.view(*link).ifindex;
  if (ifindex != 0)
    if (int error = check_program(*program, ifindex)) return error;
  return command.state.ports.replace(*link, std::move(program), expected.get());
}

long link_detach(Command& command) {
  if (!command.clean_after(XNIC_ATTR_END(link_detach.link_fd))) return -EINVAL;
  std::shared_ptr<LinkObject> link;
  if (int error = command.object(static_cast<int>(command.attr.link_detach.link_fd), ObjectKind::kLink, link))
    return error;
  command.state.ports.detach(*link);
  return 0;
}

}  // namespace xnic::device
