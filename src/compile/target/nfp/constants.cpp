// SPDX-License-Identifier: Apache-2.0
// Constants that no operand can hold are loaded into the scratch register of their bank, each time anew. Those that
// are loaded most get one of the registers that no eBPF register has; reuse_values() then drops the loads that find
// their constant there.
#include <algorithm>
#include <map>

#include "compile/target/nfp/words.hpp"

namespace xnic::compile::target::nfp {

using isa::Bank;

namespace {

constexpr uint8_t kFirstFree = 23, kLastFree = 31;

// Loads of one constant into a scratch register, and the words that read it there.
struct Loading {
  Bank bank;
  uint32_t value;
  std::vector<uint32_t> writes, reads;
};

Resources bit_of(Bank bank) { return Resources().set(kScratch + (bank == Bank::kB ? kBankB : 0)); }

// The constant that the word at `at` (and the next one) loads into a scratch register of one bank.
std::optional<Loading> loading_at(const Words& words, uint32_t at, uint32_t end) {
  const auto* load = std::get_if<isa::LoadImmediate>(&words.items[at].insn);
  if (load == nullptr || words.items[at].relocation != isa::Relocation::kNone) return std::nullopt;
  if (load->width != isa::ImmediateWidth::kAll || words.bound(at)) return std::nullopt;
  const auto* gpr = std::get_if<isa::Gpr>(&load->dst);
  if (gpr == nullptr || gpr->number != kScratch || gpr->bank == Bank::kBoth) return std::nullopt;
  const uint32_t value = uint32_t{load->value} << 8 * load->shift;
  Loading loading{gpr->bank, load->invert ? ~value : value, {at}, {}};
  if (at + 1 == end) return loading;
  const auto* upper = std::get_if<isa::LoadImmediate>(&words.items[at + 1].insn);
  if (upper != nullptr && upper->dst == load->dst && upper->width == isa::ImmediateWidth::kWord && upper->shift == 2) {
    loading.value = (loading.value & 0xffff) | uint32_t{upper->value} << 16;
    loading.writes.push_back(at + 1);
  }
  return loading;
}

void rename(isa::Operand& operand, Bank bank, uint8_t to) {
  auto* gpr = std::get_if<isa::Gpr>(&operand);
  if (gpr != nullptr && gpr->bank == bank && gpr->number == kScratch) gpr->number = to;
}

// Renames the scratch register where it is read; what it is written by is renamed as well when `writes`.
void rename(isa::Instruction& insn, Bank bank, uint8_t to, bool writes) {
  std::visit(
      [&](auto& form) {
        if constexpr (requires { form.left; }) rename(form.left, bank, to);
        if constexpr (requires { form.right; }) rename(form.right, bank, to);
        if constexpr (requires { form.src; }) rename(form.src, bank, to);
        if constexpr (requires { form.base; }) rename(form.base, bank, to);
        if constexpr (requires { form.dst; }) {
          if (writes) rename(form.dst, bank, to);
        }
      },
      insn);
}

std::vector<Loading> find_loadings(const Words& words) {
  const std::vector<Resources> after = live_after(words);
  std::vector<Loading> found;
  for (const Block& block : words.blocks()) {
    const uint32_t end = std::min(block.end, words.body_end());
    for (uint32_t at = block.first; at < end; ++at) {
      auto loading = loading_at(words, at, end);
      if (!loading) continue;
      const Resources reg = bit_of(loading->bank);
      uint32_t next = loading->writes.back() + 1;
      bool whole = true;  // every read is seen, and reads alone
      for (; next < end && (after[next - 1] & reg).any(); ++next) {
        const Effects effects = effects_of(words.items[next].insn);
        const bool reads = (effects.uses & reg).any();
        if (reads) loading->reads.push_back(next);
        whole = whole && !(reads && (effects.defs & reg).any());
        if ((effects.defs & reg).any()) break;
      }
      if (next == end && (after[end - 1] & reg).any()) whole = false;
      if (whole && !loading->reads.empty()) found.push_back(std::move(*loading));
    }
  }
  return found;
}

}  // namespace

void share_constants(Words& words) {
  const std::vector<Loading> loadings = find_loadings(words);
  std::map<std::pair<Bank, uint32_t>, size_t> saved;  // words, were the constant always there
  for (const Loading& loading : loadings) saved[{loading.bank, loading.value}] += loading.writes.size();
  for (const Bank bank : {Bank::kA, Bank::kB}) {
    std::vector<std::pair<size_t, uint32_t>> best;
    for (const auto& [key, count] : saved)
      if (key.first == bank) best.emplace_back(count, key.second);
    std::sort(best.begin(), best.end(), std::greater<>());
    for (size_t i = 0; i < best.size() && kFirstFree + i <= kLastFree; ++i) {
      const auto to = static_cast<uint8_t>(kFirstFree + i);
      for (const Loading& loading : loadings) {
        if (loading.bank != bank || loading.value != best[i].second) continue;
        for (const uint32_t at : loading.writes) rename(words.items[at].insn, bank, to, true);
        for (const uint32_t at : loading.reads) rename(words.items[at].insn, bank, to, false);
      }
    }
  }
}

}  // namespace xnic::compile::target::nfp
