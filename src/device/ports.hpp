// SPDX-License-Identifier: Apache-2.0
// The card's ports as the bpf(2) commands see them: an interface index, a name, and the program that is attached.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "device/objects.hpp"
#include "device/xdp_attach.hpp"

namespace xnic::device {

class PortTable;

// The mode that these XDP_FLAGS_* ask for.
uint32_t xdp_mode(uint32_t flags);

// An XDP link. Detaches when it is destroyed, that is when the last handle and pin are gone.
struct LinkObject final : DeviceObject {
  explicit LinkObject(PortTable& port_table) : DeviceObject(ObjectKind::kLink), ports(port_table) {}
  ~LinkObject() override;
  PortTable& ports;
  // Guarded by the port table's lock.
  std::shared_ptr<ProgramObject> program;
  uint32_t ifindex = 0;  // 0 once detached
  uint32_t flags = 0;    // XDP_FLAGS_* mode bits as given
};

// Told of every change of a port's program before it shows, one change at a time. What it returns other than 0 is the
// result of the bpf(2) command, and nothing changes. Must not call back into the device's links.
class PortListener {
 public:
  virtual ~PortListener() = default;
  // `program` null: none from now on; the result is not looked at.
  virtual int program_changes(uint32_t ifindex, std::shared_ptr<const exec::LoadedProgram> program) = 0;
};

class PortTable {
 public:
  void set_listener(PortListener* listener);
  // False when the index or the name is taken or the index is 0.
  bool add(uint32_t ifindex, const std::string& name, uint32_t queues);
  // Detaches the link on it, if any. False when there is no such port.
  bool remove(uint32_t ifindex);
  bool exists(uint32_t ifindex) const;
  uint32_t queues(uint32_t ifindex) const;  // 0 when there is no such port
  std::shared_ptr<ProgramObject> program(uint32_t ifindex) const;

  // The rules of net/core/dev.c dev_xdp_attach: -EINVAL no such port, -EBUSY a link is there in the same mode, -EEXIST
  // in another mode.
  int attach(LinkObject& link, uint32_t ifindex, uint32_t flags, std::shared_ptr<ProgramObject> program);
  // -ENOLINK when detached, -EPERM when `expected` is given and another program is there.
  int replace(LinkObject& link, std::shared_ptr<ProgramObject> program, const ProgramObject* expected);
  void detach(LinkObject& link);
  // Attachment without a link, by the same rules; `program` null: none from now on. `why` is said when the error needs
  // words. See xdp_attach.cpp.
  struct DirectOrder {
    std::shared_ptr<ProgramObject> program{};
    const ProgramObject* expected = nullptr;  // with XDP_FLAGS_REPLACE; null: none is expected
    uint32_t flags = 0;
  };
  int set_direct(uint32_t ifindex, DirectOrder order, std::string& why);
  XdpState xdp_state(uint32_t ifindex) const;
  // What link info reports, read under the lock.
  struct LinkView {
    uint32_t ifindex;
    uint32_t program_id;
  };
  LinkView view(const LinkObject& link) const;

 private:
  struct Port {
    std::string name;
    uint32_t queues;
    LinkObject* link = nullptr;               // detaches itself before it dies
    std::shared_ptr<ProgramObject> direct{};  // attached without a link; null when there is one
    uint32_t direct_flags = 0;
  };
  int check_attach(uint32_t ifindex, uint32_t flags) const;
  int check_direct(const Port& port, uint32_t ifindex, const DirectOrder& order, std::string& why) const;
  int check_replace(const LinkObject& link, const ProgramObject& program, const ProgramObject* expected) const;
  int tell(uint32_t ifindex, const std::shared_ptr<ProgramObject>& program) const;

  // Held over a whole change, the listener's part included; taken before mutex_.
  std::mutex changes_;
  PortListener* listener_ = nullptr;  // guarded by changes_
  mutable std::mutex mutex_;
  std::map<uint32_t, Port> ports_;
};

}  // namespace xnic::device
