// SPDX-License-Identifier: Apache-2.0
// Errors as values. The only file that names tl::expected, so that std::expected can replace it in one edit.
#pragma once

#include <fmt/core.h>

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace xnic::base {

// Why an operation failed; decides the exit code of the command-line tools.
enum class ErrorKind {
  kBadInput,     // the user's file, argument or program is wrong
  kLimit,        // a documented limit was exceeded
  kUnsupported,  // valid, but this card or engine does not have it
  kIo,           // the operating system refused
};

// `where` names the file, section, instruction or source line; `detail` says what is wrong and what to do next.
struct Error {
  ErrorKind kind;
  std::string where;
  std::string detail;

  std::string message() const { return where.empty() ? detail : where + ": " + detail; }
};

std::string_view error_kind_name(ErrorKind kind);

template <class T>
using Result = tl::expected<T, Error>;
using Unexpected = tl::unexpected<Error>;

// make_error(kind, where, "format {}", args...): the failed alternative of any Result<T>.
template <class... Args>
Unexpected make_error(ErrorKind kind, std::string where, fmt::format_string<Args...> format, Args&&... args) {
  return Unexpected(Error{kind, std::move(where), fmt::format(format, std::forward<Args>(args)...)});
}

}  // namespace xnic::base

// Evaluates `expr` (a Result); on failure returns its error from the enclosing function.
#define XNIC_TRY(expr)                                                      \
  do {                                                                      \
    if (auto xnic_try_result_ = (expr); !xnic_try_result_)                  \
      return ::xnic::base::Unexpected(std::move(xnic_try_result_.error())); \
  } while (false)

// XNIC_ASSIGN(auto value, expr): declares or assigns `value` from the Result, or returns its error.
#define XNIC_ASSIGN_CAT2(a, b) a##b
#define XNIC_ASSIGN_CAT(a, b) XNIC_ASSIGN_CAT2(a, b)
#define XNIC_ASSIGN(lhs, expr)                                                                   \
  auto XNIC_ASSIGN_CAT(xnic_result_, __LINE__) = (expr);                                         \
  if (!XNIC_ASSIGN_CAT(xnic_result_, __LINE__))                                                  \
    return ::xnic::base::Unexpected(std::move(XNIC_ASSIGN_CAT(xnic_result_, __LINE__).error())); \
  lhs = std::move(*XNIC_ASSIGN_CAT(xnic_result_, __LINE__))
