// SPDX-License-Identifier: Apache-2.0
// The card's own pin namespace: path -> object. It lives in memory; paths need not exist anywhere else.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "device/objects.hpp"

namespace xnic::device {

class PinTable {
 public:
  // -EEXIST when the path is taken.
  int pin(ObjectTable& objects, const std::string& path, std::shared_ptr<DeviceObject> object);
  std::shared_ptr<DeviceObject> get(const std::string& path) const;
  // -ENOENT when there is no such pin.
  int unpin(ObjectTable& objects, const std::string& path);
  std::vector<std::string> paths() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<DeviceObject>> pins_;
};

}  // namespace xnic::device
