// SPDX-License-Identifier: Apache-2.0
// Device: the card as an operating system sees it. Programs, maps, BTF and links are objects with ids and real file
// descriptors; the bpf(2) commands are the only way to make and change them.
//
// Handles: each object has a memfd. The device keeps one open file description, every handle given out is another one,
// so dup, close, fcntl, fork and SCM_RIGHTS work on handles as on any descriptor. An object lives while a handle, a
// pin, a link or another object holds it; the device finds out that no handle is left by asking for a write lease on
// its own description (fcntl F_SETLEASE fails with EAGAIN as long as another description or a mapping exists) whenever
// ids are looked at.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "device/xdp_attach.hpp"
#include "exec/engine.hpp"

namespace xnic::device {

class Caller;
class PortListener;
struct FileIdentity;

struct DeviceOptions {
  uint32_t cpus = 0;  // copies in per-CPU maps; 0: as many as the machine has possible CPUs, which libbpf expects
  const base::Clock* clock = nullptr;      // null: SystemClock
  std::string test_run_engine = "interp";  // engine of BPF_PROG_TEST_RUN
};

struct ElementSizes {
  uint32_t key = 0, value = 0;
};

class Device {
 public:
  explicit Device(const DeviceOptions& options = {});
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // bpf(2): same commands, attributes and results; a negative errno instead of -1 and errno. `attr` may be written.
  // Thread-safe.
  long bpf(int command, union bpf_attr* attr, uint32_t size);
  // The same for another process: `attr` is an address in its memory. A caller that may only look gets -EPERM for
  // commands that change something, and read-only handles of maps.
  long bpf(const Caller& caller, int command, uint64_t attr, uint32_t size);

  // The object behind a handle of this process, or null if the descriptor isn't a handle of this device of that kind.
  std::shared_ptr<const exec::LoadedProgram> program(int fd) const;
  std::shared_ptr<exec::maps::Map> map(int fd) const;

  // Ports that XDP links attach to. A new device has port 1, "lo", with one queue. False: index 0, index or name taken,
  // no queue; for remove_port: no such port. Removing a port leaves the links on it without a port.
  bool add_port(uint32_t ifindex, const std::string& name, uint32_t queues);
  bool remove_port(uint32_t ifindex);
  // The program attached to a port, null when there is none.
  std::shared_ptr<const exec::LoadedProgram> port_program(uint32_t ifindex) const;
  // Who runs the programs of the ports; see ports.hpp. Not owned; null: nobody any more. After the call the earlier
  // listener is not in use.
  void set_port_listener(PortListener* listener);

  // Copies in per-CPU maps.
  uint32_t cpus() const;
  // The map with this id, or null. Takes the device's lock.
  std::shared_ptr<exec::maps::Map> map_by_id(uint32_t id) const;

  // The card's pins (BPF_OBJ_PIN makes them). unlink() is what a file system does to remove one; here it is this.
  std::vector<std::string> pins() const;
  bool unpin(const std::string& path);

  // Attaches a program to a port without a link, or removes it (xdp_attach.hpp). 0, -errno; `why` when there is more to
  // say.
  int attach_xdp(const Caller& caller, const XdpRequest& request, std::string& why);
  XdpState xdp_state(uint32_t ifindex) const;

  // Of an object by its descriptor, for other processes. The object's lines of /proc/PID/fdinfo/FD; empty: no object.
  std::string fdinfo(const FileIdentity& identity) const;
  // Of a map's elements as bpf(2) copies them; zeros: no map.
  ElementSizes element_sizes(const FileIdentity& identity) const;
  // A handle of a new perf buffer, or -errno; it can be mapped, and put into a perf event array, when it has a size.
  int open_perf_buffer(uint32_t uid);
  // 0, -EINVAL (pages are no power of two, or not those of an earlier call), -EBADF, -ENOMEM.
  int size_perf_buffer(const FileIdentity& identity, uint64_t data_pages);
  // An eventfd, still the device's, that is signalled when a ring or perf buffer has data; -EBADF: no object, -EPERM:
  // of a kind that cannot be waited for, -errno.
  int wakeup(const FileIdentity& identity) const;

  // What the commands work on; defined in state.hpp for this folder.
  struct State;

 private:
  std::unique_ptr<State> state_;
};

// The process-wide device that the wrapped syscall() answers for. libbpf (linked statically with --wrap=syscall) enters
// here. While none is installed, bpf(2) goes to the kernel. Not owned; null to uninstall.
void install_device(Device* device);

}  // namespace xnic::device
