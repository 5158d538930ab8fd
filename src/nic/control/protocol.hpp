// SPDX-License-Identifier: Apache-2.0
// What is said over the control socket.
//
// A message is two lengths (JSON bytes, blob bytes; 32 bits each, little endian), a JSON object, and a blob: bytes that
// belong to it, such as an ELF object or a packet. A client sends one request at a time, {"request": NAME, …}, and
// gets one reply: {"ok": true, …} or {"error": {"kind", "where", "detail"}}. Requests that are answered by a stream
// (trace, map dump, map watch) get messages after the reply until one is {"end": true}, or the client closes.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"

namespace xnic::nic::control {

// Neither side accepts more.
inline constexpr uint32_t kMaxJsonBytes = 4u << 20;
inline constexpr uint32_t kMaxBlobBytes = 16u << 20;
inline constexpr int kMaxJsonDepth = 64;
inline constexpr size_t kHeaderBytes = 8;

struct Message {
  std::string json;
  std::vector<uint8_t> blob{};
};

// Pre: the message is within the limits.
std::vector<uint8_t> encode(const Message& message);

// Cuts a stream of bytes into messages. Holds no more than has been fed.
class Decoder {
 public:
  void feed(base::Bytes bytes);
  // The next whole message, or nothing yet. Errors: kLimit, for good: what follows cannot be told apart any more.
  base::Result<std::optional<Message>> next();
  bool in_message() const { return !buffer_.empty(); }

 private:
  std::vector<uint8_t> buffer_;
};

// The object that a message holds. Errors: kBadInput (not JSON, nested too deep, no object).
base::Result<nlohmann::ordered_json> parse_object(std::string_view text);
// As text; bytes that are no UTF-8 become replacement characters.
std::string to_text(const nlohmann::ordered_json& json);

Message error_message(const base::Error& error);
// The object of a reply. Errors: what the other side reports, or parse_object's.
base::Result<nlohmann::ordered_json> read_reply(const Message& message);

}  // namespace xnic::nic::control
