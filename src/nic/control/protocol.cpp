// SPDX-License-Identifier: Apache-2.0
// Framing and JSON of control messages. Lengths are checked before anything is kept for them, nesting while the text
// is parsed, so a hostile peer costs no more memory than it sends.
#include "nic/control/protocol.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace xnic::nic::control {

using base::ErrorKind;
using base::make_error;
using base::Result;
using nlohmann::ordered_json;

namespace {

std::string text_member(const ordered_json& object, const char* key) {
  const auto member = object.find(key);
  return member != object.end() && member->is_string() ? member->get<std::string>() : "";
}

}  // namespace

std::vector<uint8_t> encode(const Message& message) {
  std::vector<uint8_t> bytes(kHeaderBytes + message.json.size() + message.blob.size());
  base::store_le(bytes.data(), static_cast<uint32_t>(message.json.size()));
  base::store_le(bytes.data() + 4, static_cast<uint32_t>(message.blob.size()));
  std::ranges::copy(message.json, bytes.begin() + kHeaderBytes);
  std::ranges::copy(message.blob, bytes.end() - static_cast<ptrdiff_t>(message.blob.size()));
  return bytes;
}

void Decoder::feed(base::Bytes bytes) { buffer_.insert(buffer_.end(), bytes.begin(), bytes.end()); }

Result<std::optional<Message>> Decoder::next() {
  if (buffer_.size() < kHeaderBytes) return std::nullopt;
  const auto json_bytes = base::load_le<uint32_t>(buffer_.data());
  const auto blob_bytes = base::load_le<uint32_t>(buffer_.data() + 4);
  if (json_bytes > kMaxJsonBytes || blob_bytes > kMaxBlobBytes)
    return make_error(ErrorKind::kLimit, "message", "{} bytes of JSON and {} of blob: at most {} and {}", json_bytes,
                      blob_bytes, kMaxJsonBytes, kMaxBlobBytes);
  const size_t whole = kHeaderBytes + json_bytes + blob_bytes;
  if (buffer_.size() < whole) return std::nullopt;
  const auto json = buffer_.begin() + kHeaderBytes;
  const auto blob = json + json_bytes;
  Message message{{json, blob}, {blob, blob + blob_bytes}};
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<ptrdiff_t>(whole));
  return message;
}

Result<ordered_json> parse_object(std::string_view text) {
  bool deep = false;
  const auto look = [&deep](int depth, ordered_json::parse_event_t, const ordered_json&) {
    deep |= depth > kMaxJsonDepth;
    return !deep;
  };
  ordered_json json = ordered_json::parse(text, look, false);
  if (deep) return make_error(ErrorKind::kBadInput, "message", "is nested deeper than {} levels", kMaxJsonDepth);
  if (json.is_discarded()) return make_error(ErrorKind::kBadInput, "message", "is not valid JSON");
  if (!json.is_object()) return make_error(ErrorKind::kBadInput, "message", "is not a JSON object");
  return json;
}

std::string to_text(const ordered_json& json) {
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

Message error_message(const base::Error& error) {
  const std::string_view kind = base::error_kind_name(error.kind);
  return {to_text({{"error", {{"kind", kind}, {"where", error.where}, {"detail", error.detail}}}})};
}

Result<ordered_json> read_reply(const Message& message) {
  XNIC_ASSIGN(ordered_json json, parse_object(message.json));
  const auto error = json.find("error");
  if (error == json.end()) return json;
  base::Error told{ErrorKind::kBadInput, text_member(*error, "where"), text_member(*error, "detail")};
  const std::string kind = text_member(*error, "kind");
  for (const ErrorKind one : {ErrorKind::kLimit, ErrorKind::kUnsupported, ErrorKind::kIo})
    if (base::error_kind_name(one) == kind) told.kind = one;
  return base::Unexpected(std::move(told));
}

}  // namespace xnic::nic::control
