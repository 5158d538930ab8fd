// SPDX-License-Identifier: Apache-2.0
// rtnetlink messages: attributes of a request, and building of answers (linux/netlink.h; numbers in host order).
#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <optional>
#include <string>
#include <vector>

#include "base/bytes.hpp"

namespace xnic::nic::door {

// The attribute of this type in a run of attributes; attributes that do not fit end the run.
std::optional<base::Bytes> find_attribute(base::Bytes attributes, uint16_t type);
std::optional<uint32_t> number_attribute(base::Bytes attributes, uint16_t type);
// Without its final NUL.
std::optional<std::string> text_attribute(base::Bytes attributes, uint16_t type);
// True when there are attributes of other types than these.
bool has_others(base::Bytes attributes, std::initializer_list<uint16_t> known);

class MessageBuilder {
 public:
  // Answers `request`: its sequence number and port.
  MessageBuilder(const nlmsghdr& request, uint16_t type, uint16_t flags);
  void raw(const void* bytes, size_t size);
  void attribute(uint16_t type, const void* bytes, size_t size);
  void number(uint16_t type, uint32_t value) { attribute(type, &value, sizeof value); }
  void byte(uint16_t type, uint8_t value) { attribute(type, &value, sizeof value); }
  void text(uint16_t type, const std::string& value) { attribute(type, value.c_str(), value.size() + 1); }
  size_t begin_nest(uint16_t type);
  void end_nest(size_t nest);
  // The message, with its length, padded to 4.
  std::vector<uint8_t> finish();

 private:
  std::vector<uint8_t> bytes_;
};

// The acknowledgement of a request, or its refusal with -errno and, unless empty, what to tell the user (extended ack).
std::vector<uint8_t> acknowledge(base::Bytes request, int error, const std::string& message);

}  // namespace xnic::nic::door
