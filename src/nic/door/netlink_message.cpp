// SPDX-License-Identifier: Apache-2.0
// Attributes are {u16 length, u16 type} and payload, padded to 4; the length counts itself and not the padding.
#include "nic/door/netlink_message.hpp"

#include <algorithm>

namespace xnic::nic::door {

namespace {

constexpr size_t align4(size_t bytes) { return (bytes + 3) & ~size_t{3}; }

// Calls `take(type, payload)` for each attribute until it returns true.
template <class Take>
void walk(base::Bytes attributes, Take take) {
  while (attributes.size() >= sizeof(nlattr)) {
    nlattr head;
    std::memcpy(&head, attributes.data(), sizeof head);
    if (head.nla_len < sizeof head || head.nla_len > attributes.size()) return;
    if (take(static_cast<uint16_t>(head.nla_type & NLA_TYPE_MASK),
             attributes.subspan(sizeof head, head.nla_len - sizeof head)))
      return;
    attributes = attributes.subspan(std::min(attributes.size(), align4(head.nla_len)));
  }
}

}  // namespace

std::optional<base::Bytes> find_attribute(base::Bytes attributes, uint16_t type) {
  std::optional<base::Bytes> found;
  walk(attributes, [&](uint16_t one, base::Bytes payload) {
    if (one == type) found = payload;
    return found.has_value();
  });
  return found;
}

std::optional<uint32_t> number_attribute(base::Bytes attributes, uint16_t type) {
  const auto payload = find_attribute(attributes, type);
  if (!payload || payload->size() < sizeof(uint32_t)) return std::nullopt;
  return base::load<uint32_t>(payload->data());
}

std::optional<std::string> text_attribute(base::Bytes attributes, uint16_t type) {
  const auto payload = find_attribute(attributes, type);
  if (!payload) return std::nullopt;
  return std::string(payload->begin(), std::find(payload->begin(), payload->end(), 0));
}

bool has_others(base::Bytes attributes, std::initializer_list<uint16_t> known) {
  bool others = false;
  walk(attributes, [&](uint16_t type, base::Bytes) {
    others = std::ranges::find(known, type) == known.end();
    return others;
  });
  return others;
}

MessageBuilder::MessageBuilder(const nlmsghdr& request, uint16_t type, uint16_t flags) {
  const nlmsghdr head{0, type, flags, request.nlmsg_seq, request.nlmsg_pid};
  raw(&head, sizeof head);
}

void MessageBuilder::raw(const void* bytes, size_t size) {
  const auto* from = static_cast<const uint8_t*>(bytes);
  bytes_.insert(bytes_.end(), from, from + size);
  bytes_.resize(align4(bytes_.size()));
}

void MessageBuilder::attribute(uint16_t type, const void* bytes, size_t size) {
  const nlattr head{static_cast<uint16_t>(sizeof(nlattr) + size), type};
  raw(&head, sizeof head);
  raw(bytes, size);
}

size_t MessageBuilder::begin_nest(uint16_t type) {
  const size_t at = bytes_.size();
  const nlattr head{0, type};
  raw(&head, sizeof head);
  return at;
}

void MessageBuilder::end_nest(size_t nest) {
  base::store(bytes_.data() + nest, static_cast<uint16_t>(bytes_.size() - nest));
}

std::vector<uint8_t> MessageBuilder::finish() {
  base::store(bytes_.data(), static_cast<uint32_t>(bytes_.size()));
  return std::move(bytes_);
}

// net/netlink/af_netlink.c netlink_ack: a refusal repeats the request, an acknowledgement only its header.
std::vector<uint8_t> acknowledge(base::Bytes request, int error, const std::string& message) {
  nlmsghdr head;
  std::memcpy(&head, request.data(), sizeof head);
  uint16_t flags = 0;
  if (error == 0) flags |= NLM_F_CAPPED;
  if (!message.empty()) flags |= NLM_F_ACK_TLVS;
  MessageBuilder answer(head, NLMSG_ERROR, flags);
  answer.raw(&error, sizeof error);
  answer.raw(request.data(), error == 0 ? sizeof head : head.nlmsg_len);
  if (!message.empty()) answer.text(NLMSGERR_ATTR_MSG, message);
  return answer.finish();
}

}  // namespace xnic::nic::door
