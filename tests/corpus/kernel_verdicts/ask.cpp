// SPDX-License-Identifier: Apache-2.0
// Each question is asked in a forked child that answers through a pipe: libbpf 1.1 crashes on some objects of the
// field, and what a child has loaded goes with it. An answer travels as JSON text. Invariant: one child at a time,
// always waited for.
#include "corpus/kernel_verdicts/ask.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/check.hpp"
#include "corpus/kernel_verdicts/open_object.hpp"

namespace xnic::corpus {

// to_json and from_json, found by the library next to Answer.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Answer, status, error, log_tail, verified_insns, map_types)

namespace {

constexpr unsigned kSecondsAtMost = 60;
constexpr size_t kTailLines = 3;
constexpr size_t kLogBytes = 4 << 20;  // since 6.4 the kernel keeps the end of a log that does not fit
constexpr uint32_t kMapsAtMost = 64;   // MAX_USED_MAPS of the kernel

std::vector<std::string> last_lines(const std::string& text, size_t count) {
  std::vector<std::string> lines;
  size_t end = text.size();
  while (end > 0 && lines.size() < count) {
    const size_t before = text.rfind('\n', end - 1);
    const size_t start = before == std::string::npos ? 0 : before + 1;
    if (start < end) lines.insert(lines.begin(), text.substr(start, end - start));
    end = start == 0 ? 0 : start - 1;
  }
  return lines;
}

Answer refused(int error, std::vector<std::string> why) {
  Answer answer;
  answer.status = "libbpf_refused";
  answer.error = error;
  answer.log_tail = std::move(why);
  return answer;
}

Answer refused(const base::Error& why) {
  return refused(why.kind == base::ErrorKind::kUnsupported ? EOPNOTSUPP : EINVAL, {why.detail});
}

Answer accepted(int program_fd) {
  Answer answer;
  answer.status = "accepted";
  uint32_t ids[kMapsAtMost] = {};
  bpf_prog_info info = {};
  uint32_t size = sizeof info;
  info.map_ids = reinterpret_cast<uintptr_t>(ids);
  info.nr_map_ids = kMapsAtMost;
  CHECK(bpf_obj_get_info_by_fd(program_fd, &info, &size) == 0);
  answer.verified_insns = info.verified_insns;
  for (uint32_t i = 0; i < std::min(info.nr_map_ids, kMapsAtMost); ++i) {
    const int map_fd = bpf_map_get_fd_by_id(ids[i]);
    bpf_map_info map = {};
    size = sizeof map;
    CHECK(map_fd >= 0 && bpf_obj_get_info_by_fd(map_fd, &map, &size) == 0);
    answer.map_types.push_back(map.type);
    close(map_fd);
  }
  return answer;
}

Answer load(const std::string& path, const std::string& name) {
  keep_libbpf_words();
  auto object = open_object(path);
  if (!object) return refused(object.error());
  if (auto adapted = adapt_maps(object->get()); !adapted) return refused(adapted.error());
  auto program = select_program(object->get(), name);
  if (!program) return refused(program.error());
  std::string log(kLogBytes, '\0');
  bpf_program__set_log_buf(*program, log.data(), log.size());
  const int error = -bpf_object__load(object->get());
  if (error == 0) return accepted(bpf_program__fd(*program));
  log.resize(log.find('\0') == std::string::npos ? log.size() : log.find('\0'));
  // Only a program that reached the kernel's verifier leaves a log in the program's own buffer.
  if (log.empty()) return refused(error, last_libbpf_words(kTailLines));
  Answer answer;
  answer.status = "rejected";
  answer.error = error;
  answer.log_tail = last_lines(log, kTailLines);
  return answer;
}

[[noreturn]] void answer_and_leave(int pipe_end, const std::string& path, const std::string& program) {
  alarm(kSecondsAtMost);
  const std::string text =
      nlohmann::json(load(path, program)).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  for (size_t sent = 0; sent < text.size();) {
    const ssize_t n = write(pipe_end, text.data() + sent, text.size() - sent);
    if (n <= 0) _exit(1);
    sent += static_cast<size_t>(n);
  }
  _exit(0);
}

std::string read_all(int pipe_end) {
  std::string text;
  char part[4096];
  for (ssize_t n = 0; (n = read(pipe_end, part, sizeof part)) > 0;) text.append(part, static_cast<size_t>(n));
  return text;
}

}  // namespace

Answer ask_kernel(const std::string& path, const std::string& program) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    close(ends[0]);
    answer_and_leave(ends[1], path, program);
  }
  close(ends[1]);
  const std::string text = read_all(ends[0]);
  close(ends[0]);
  int how = 0;
  CHECK(waitpid(child, &how, 0) == child);
  if (WIFEXITED(how) && WEXITSTATUS(how) == 0) return nlohmann::json::parse(text).get<Answer>();
  Answer answer;
  answer.status = "crashed";
  answer.error = WIFSIGNALED(how) ? WTERMSIG(how) : 0;
  return answer;
}

}  // namespace xnic::corpus
