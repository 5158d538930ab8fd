// SPDX-License-Identifier: Apache-2.0
// What host and agent say to each other, as bytes: frames and the messages in them.
//
// A frame is an Ethernet frame: 14 bytes of Ethernet header, 26 bytes of link header, then messages one after the
// other, each with 8 bytes of header. Numbers are little-endian, as on every machine this runs on; addresses are
// Linux's sockaddr_in and sockaddr_in6.
//
// Nothing that was read is trusted: headers are copied before they are looked at (the frame may lie in memory that the
// other side can still write), every length is checked against the frame, and ids are only ever looked up.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <type_traits>

#include "base/bytes.hpp"

namespace xnic::transport::message {

static_assert(std::endian::native == std::endian::little, "messages are laid out for little-endian machines");

inline constexpr uint16_t kEtherType = 0x88b5;  // IEEE 802, local experimental EtherType 1
inline constexpr uint8_t kVersion = 1;
inline constexpr uint32_t kMaxFrameBytes = 65535;
inline constexpr uint32_t kMinFrameBytes = 60;          // shorter Ethernet frames are padded
inline constexpr uint32_t kMaxControlBytes = 1u << 16;  // of a message in pieces, put together
inline constexpr uint32_t kMaxAddressBytes = 28;        // sockaddr_in6

// ---- frames

enum FrameFlags : uint8_t {
  kChecked = 1,  // `checksum` is a CRC-32C of the frame from `version` on, with zero in its place
  kAckOnly = 2,  // no messages; `sequence` is the next one and not used up
  kGap = 4,      // frames after `ack` have come, but not `ack` itself: send again from there
};

struct FrameHeader {
  uint8_t to[6] = {};
  uint8_t from[6] = {};
  uint8_t ether_type[2] = {kEtherType >> 8, kEtherType & 0xff};
  uint8_t version = kVersion;
  uint8_t flags = 0;
  uint32_t session = 0;   // of this attachment; another number is from the past
  uint32_t sequence = 0;  // of this frame, modulo 2^32
  uint32_t ack = 0;       // the next sequence expected from the other side
  uint16_t credit = 0;    // how many frames from `ack` on the sender of this can take
  uint16_t size = 0;      // of the messages in bytes; what follows them is padding
  uint32_t checksum = 0;
  uint32_t zero = 0;
} __attribute__((packed));
static_assert(sizeof(FrameHeader) == 40);
inline constexpr uint32_t kFrameHeaderBytes = sizeof(FrameHeader);

// The CRC-32C (RFC 3720, appendix B.4) of the frame as `kChecked` says. Pre: at least kFrameHeaderBytes.
uint32_t frame_checksum(base::Bytes frame);
// The header, when `frame` is one of ours, whole, and of this version; nothing otherwise.
std::optional<FrameHeader> decode_frame(base::Bytes frame);

// ---- messages

enum class Type : uint8_t {
  // host to agent
  kSocket = 1,    // SocketBody; no answer
  kBind,          // tag, sockaddr -> kReply with the address as it is then
  kListen,        // ListenBody -> kReply with the address
  kConnect,       // tag, sockaddr -> kReply (EINPROGRESS) with the address, later kConnected
  kSetOption,     // OptionBody, value -> kReply
  kGetOption,     // OptionBody -> kReply with the value
  kName,          // NameBody -> kReply with a sockaddr
  kUnsent,        // tag -> kReply with a uint32: SIOCOUTQ and what the agent holds
  kAcceptCredit,  // ids, 4 bytes each, that the agent may give to connections of the listener
  kTaken,         // the program has accepted this connection
  kShutdown,      // ShutdownBody (-> kReply when its tag is not 0)
  kClose,         // CloseBody (-> kReply when its tag is not 0)
  kClaim,         // this process wants to read and write the connection -> kGranted
  kUnread,        // answer to kRevoke, or before kClose: bytes that were received and not read
  kRevoked,       // the end of the answer to kRevoke
  kExport,        // tag -> kReply with a token
  kImport,        // tag, token: the id becomes another name of the socket -> kReply with ImportedBody
  kHello,         // HelloBody: the first message -> kWelcome
  // either way
  kData = 32,  // bytes of the stream
  kUrgent,     // bytes of the stream, the last one urgent (agent to host: one byte, out of line)
  kCredit,     // CreditBody: so many more bytes may be sent
  kKeepAlive,  // nothing
  kError,      // a sentence; the sender ends the session
  // agent to host
  kWelcome = 64,  // WelcomeBody
  kReply,         // ReplyBody, answer
  kConnected,     // ConnectedBody: a connect has ended
  kAccepted,      // AcceptedBody: a connection, by an id from kAcceptCredit
  kPeerShutdown,  // the peer sends no more
  kReset,         // ResetBody: the connection is over
  kRevoke,        // another process claims the connection
  kGranted,       // GrantedBody
  kUrgentMark,    // the urgent byte stood here in the stream
};

enum MessageFlags : uint8_t {
  kContinues = 1,  // the next message of this type and id has more of the same body
  kMore = 2,       // of kData: MSG_MORE, the sender has more to say soon
};

struct MessageHeader {
  Type type{};
  uint8_t flags = 0;
  uint16_t size = 0;  // of the body
  uint32_t id = 0;    // of the socket, as the host numbers it
};
static_assert(sizeof(MessageHeader) == 8);
inline constexpr uint32_t kMessageHeaderBytes = sizeof(MessageHeader);

struct SocketBody {
  int32_t domain = 0, protocol = 0;
};
struct ListenBody {
  uint32_t tag = 0;
  int32_t backlog = 0;
};
struct OptionBody {
  uint32_t tag = 0;
  int32_t level = 0, name = 0;
  uint32_t capacity = 0;  // kGetOption: as given to getsockopt(2)
};
struct NameBody {
  uint32_t tag = 0;
  uint32_t peer = 0;  // 1: the peer's, 0: the socket's own
};
struct ShutdownBody {
  uint32_t tag = 0;  // 0: no answer is wanted
  uint32_t how = 0;  // as shutdown(2): 0, 1, 2
};
struct CloseBody {
  uint32_t tag = 0;
  uint32_t unread = 0;  // 1: received data was not read, which resets the connection when this was the last reference
};
struct CreditBody {
  uint32_t bytes = 0;
};
struct HelloBody {
  uint32_t features = 0;
};
struct WelcomeBody {
  uint32_t features = 0;      // that both sides have
  uint32_t max_sockets = 0;   // of this session
  uint32_t window_bytes = 0;  // first send credit of a connection, either way
};
struct ReplyBody {
  uint32_t tag = 0;
  int32_t error = 0;  // errno, 0: done
};
struct Address {
  uint16_t size = 0;  // 0: none
  uint8_t bytes[kMaxAddressBytes] = {};
  uint16_t zero = 0;
};
static_assert(sizeof(Address) == 32);
struct ConnectedBody {
  int32_t error = 0;
  Address local, peer;
};
struct AcceptedBody {
  uint32_t listener = 0;
  int32_t domain = 0;
  Address local, peer;
};
struct ResetBody {
  int32_t error = 0;
};
enum SocketState : uint32_t { kStateFresh, kStateListening, kStateConnecting, kStateConnected, kStateDead };
struct GrantedBody {
  uint32_t send_credit = 0;
  uint32_t state = 0;
};
struct ImportedBody {
  uint32_t state = 0;
  int32_t domain = 0;
  int32_t backlog = 0;
  Address local, peer;
};

// The fixed part of a body, copied; nothing when the body is too short.
template <class T>
std::optional<T> decode(base::Bytes body) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (body.size() < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, body.data(), sizeof value);
  return value;
}

// The messages of a frame, one after the other.
class Reader {
 public:
  Reader() = default;
  // Pre: `messages` is header.size bytes behind the header of a decoded frame.
  explicit Reader(base::Bytes messages) : rest_(messages) {}
  bool done() const { return rest_.empty(); }
  // The next message; false when the rest is no message (done() is false then too): the sender cannot be trusted.
  bool peek(MessageHeader& header, base::Bytes& body) const {
    if (rest_.size() < kMessageHeaderBytes) return false;
    std::memcpy(&header, rest_.data(), sizeof header);
    if (header.size > rest_.size() - kMessageHeaderBytes) return false;
    body = rest_.subspan(kMessageHeaderBytes, header.size);
    return true;
  }
  // Pre: peek() gave a body of `size`.
  void skip(uint32_t size) { rest_ = rest_.subspan(kMessageHeaderBytes + size); }

 private:
  base::Bytes rest_;
};

}  // namespace xnic::transport::message
