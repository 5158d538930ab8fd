// SPDX-License-Identifier: Apache-2.0
// Which device answers bpf(2) of this process or thread. Internal to this folder; others use install_device().
#pragma once

#include "device/device.hpp"

namespace xnic::device {

// For its scope, bpf(2) of this thread goes to `device`, whatever is installed for the process.
class DeviceForThread {
 public:
  explicit DeviceForThread(Device& device);
  ~DeviceForThread();
  DeviceForThread(const DeviceForThread&) = delete;
  DeviceForThread& operator=(const DeviceForThread&) = delete;

 private:
  Device* previous_;
};

// Uninstalls `device` if it is the installed one.
void uninstall_device(const Device* device);

// Makes the linker take the wrapped syscall() along with the device.
void door_is_linked();

}  // namespace xnic::device
