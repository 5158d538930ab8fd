// SPDX-License-Identifier: Apache-2.0
// Messages over a link: many in a frame, long ones over many frames, in order and none twice.
//
// Sending fills an open frame, which goes when it is full or at flush(). When the link has no room, control messages
// wait in a queue of this Messenger, and everything after them too, so the order stays; data is only written where
// there is room (room()).
//
// Over a lossless link a frame is written in the link's own memory and its number is only checked. Over others each
// frame is kept until it is acknowledged, and repaired by going back: the receiver takes frames in order alone, says
// where a gap is, and the sender sends again from there, or when nothing was acknowledged for a while. Acknowledgements
// ride in every frame's header; a frame of its own is spent on one when a quarter of the window waits for it, when
// there is nothing to do, and before sleep. Loss is so repaired, not made cheap: credits are what keeps it from
// happening.
//
// Used by one thread at a time.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "base/clock.hpp"
#include "transport/link/link.hpp"
#include "transport/message/protocol.hpp"

namespace xnic::transport::link {

struct MessengerCounters {
  uint64_t frames_sent = 0, frames_received = 0;
  uint64_t messages_sent = 0, messages_received = 0;
  uint64_t doorbells = 0;
  uint64_t frames_resent = 0;   // by repair
  uint64_t frames_dropped = 0;  // not ours, damaged, out of order or twice
  uint64_t acks_sent = 0;       // frames that were nothing else
};

class Messenger {
 public:
  // `session` is the number that both sides put in every frame.
  Messenger(std::unique_ptr<Link> link, uint32_t session, const base::Clock& clock);

  // ---- sending

  // How many bytes the body of a message can have, put now: at most `wanted`, and at least `least`; 0: no room.
  // Pre: least <= wanted, least <= 1024.
  uint32_t room(uint32_t wanted, uint32_t least);
  // Where that body is written. Pre: room() was not 0, and nothing was sent since.
  uint8_t* body() const { return frame_ + used_ + message::kMessageHeaderBytes; }
  // The message whose body stands at body(). Pre: size <= room().
  void put(message::Type type, uint32_t id, uint32_t size, uint8_t flags = 0);
  // A message of any length up to kMaxControlBytes; it waits when there is no room.
  void send(message::Type type, uint32_t id, base::Bytes body = {});
  template <class Body>
    requires std::is_trivially_copyable_v<Body>
  void send_body(message::Type type, uint32_t id, const Body& body) {
    send(type, id, {reinterpret_cast<const uint8_t*>(&body), sizeof body});
  }
  // True while messages wait in the queue.
  bool backed_up() const { return !queue_.empty(); }
  // Hands over what was put and rings the doorbell.
  void flush();
  // Nothing waits, is open, or is unacknowledged.
  bool idle() const {
    return queue_.empty() && used_ == message::kFrameHeaderBytes && (lossless_ || first_unacked_ == next_sequence_);
  }

  // ---- receiving

  // Calls on_message(header, body) for each message that is there. It returns true: the message was taken; false: not
  // now, the same comes first the next time. Bodies stay where they are until release(). Returns the messages taken.
  template <class OnMessage>
  uint32_t poll(OnMessage&& on_message);
  // Gives the frames back whose messages poll() has handed out.
  void release();

  // ---- sleeping
  bool prepare_sleep();
  void woken() { link_->woken(); }
  int wait_fd() const { return link_->wait_fd(); }
  // Milliseconds until something has to be sent again; -1: never.
  int sleep_limit_ms() const;

  // True: the other side is gone or cannot be trusted.
  bool down() { return broken_ || link_->down(); }
  const MessengerCounters& counters() const { return counters_; }
  uint32_t session() const { return session_; }

 private:
  struct Waiting {
    message::MessageHeader header;
    std::vector<uint8_t> body;
  };

  bool open_frame();
  void close_frame();
  void transmit();
  void send_again();
  void fill_link_fields(message::FrameHeader& header, uint8_t flags) const;
  void send_ack();
  bool put_control(message::Type type, uint8_t flags, uint32_t id, base::Bytes body);
  void drain_queue();

  bool next_frame();
  bool in_order(const message::FrameHeader& header);
  void take_ack(const message::FrameHeader& header);
  void look_after();
  bool assemble(const message::MessageHeader& header, base::Bytes body);

  std::unique_ptr<Link> link_;
  const base::Clock& clock_;
  const uint32_t session_;
  const bool lossless_;
  const uint32_t frame_bytes_, window_;

  uint8_t* frame_ = nullptr;  // the open frame
  uint32_t used_ = message::kFrameHeaderBytes;
  uint32_t next_sequence_ = 0;
  std::deque<Waiting> queue_;

  // Repair, sender: frames [first_unacked_, next_sequence_) are kept in slots; those before next_to_send_ were sent.
  std::vector<uint8_t> slots_;
  std::vector<uint32_t> slot_sizes_;
  uint32_t first_unacked_ = 0, next_to_send_ = 0, sent_highest_ = 0;
  uint32_t peer_limit_;  // frames before this sequence may be sent
  uint64_t progress_ns_ = 0, wait_ns_, gap_ns_ = 0;
  uint32_t looks_ = 0;

  // Receiver.
  message::Reader reader_;
  uint32_t expected_ = 0, processed_ = 0, acked_ = 0;
  bool gap_ = false, repeat_ack_ = false;
  uint32_t empty_polls_ = 0;
  std::vector<uint8_t> assembly_;
  message::MessageHeader assembling_;

  bool broken_ = false;
  MessengerCounters counters_;
};

template <class OnMessage>
uint32_t Messenger::poll(OnMessage&& on_message) {
  uint32_t taken = 0;
  while (!broken_) {
    if (reader_.done() && !next_frame()) break;
    while (!reader_.done()) {
      message::MessageHeader header;
      base::Bytes body;
      if (!reader_.peek(header, body)) {
        broken_ = true;
        break;
      }
      if (((header.flags | assembling_.flags) & message::kContinues) == 0) [[likely]] {
        if (!on_message(header, body)) goto out;
      } else {
        const bool last = (header.flags & message::kContinues) == 0;
        if (!assemble(header, body)) break;
        if (last && !on_message(assembling_, base::Bytes(assembly_))) {
          assembly_.resize(assembly_.size() - body.size());
          assembling_.flags = message::kContinues;
          goto out;
        }
      }
      reader_.skip(header.size);
      ++taken;
    }
    if (reader_.done()) ++processed_;
  }
out:
  counters_.messages_received += taken;
  if (!lossless_) look_after();
  return taken;
}

}  // namespace xnic::transport::link
