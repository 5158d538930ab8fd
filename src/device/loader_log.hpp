// SPDX-License-Identifier: Apache-2.0
// libbpf's own messages, per thread. Internal to this folder.
#pragma once

#include <string>
#include <string_view>

namespace xnic::device {

// While one exists, libbpf's warnings of this thread are collected in it; without one they are dropped (libbpf's
// failures reach us as return values). Debug messages are never kept.
class LoaderLog {
 public:
  LoaderLog();
  ~LoaderLog();
  LoaderLog(const LoaderLog&) = delete;
  LoaderLog& operator=(const LoaderLog&) = delete;

  void append(std::string_view text) { text_ += text; }
  // The messages without libbpf's own prefix and without verifier logs, joined by "; "; at most a few lines.
  std::string summary() const;

 private:
  std::string text_;
  LoaderLog* previous_;
};

}  // namespace xnic::device
