// SPDX-License-Identifier: Apache-2.0
// The stream of a trace request. Internal to this folder.
#pragma once

#include <deque>

#include "nic/control/service.hpp"

namespace xnic::nic::control {

class TraceStream final : public Stream {
 public:
  // Holds `token` while it lives; `limit` 0: no limit. Switches the card's trace off at its end.
  TraceStream(Service& service, std::shared_ptr<int> token, uint64_t limit)
      : service_(service), token_(std::move(token)), left_(limit == 0 ? UINT64_MAX : limit) {}
  ~TraceStream() override;
  std::optional<Message> next() override;
  bool ended() const override { return left_ == 0; }

 private:
  Service& service_;
  std::shared_ptr<int> token_;
  uint64_t left_;
  std::deque<Message> ready_;
};

}  // namespace xnic::nic::control
