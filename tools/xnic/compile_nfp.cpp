// SPDX-License-Identifier: Apache-2.0
// `xnic compile --target nfp` and `xnic disasm --target nfp`: the words of the Netronome card.
#include <fmt/core.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "arch/nfp/text.hpp"
#include "base/bytes.hpp"
#include "base/file.hpp"
#include "compile/target/nfp/compile.hpp"
#include "device/object.hpp"
#include "xnic/command.hpp"

namespace xnic::tools {
namespace {

using nlohmann::ordered_json;

base::Result<void> write_words(const std::string& path, const arch::nfp::Image& image) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  bool written = file != nullptr;
  for (size_t i = 0; written && i < image.words.size(); ++i) {
    uint8_t bytes[8];
    base::store_le(bytes, image.words[i]);
    written = std::fwrite(bytes, 1, sizeof bytes, file) == sizeof bytes;
  }
  if (file != nullptr) written = std::fclose(file) == 0 && written;
  if (!written) return base::make_error(base::ErrorKind::kIo, path, "cannot write: {}", std::strerror(errno));
  return {};
}

base::Result<std::string> text_of(uint64_t word) {
  XNIC_ASSIGN(const uint64_t bits, arch::nfp::without_ecc(word));
  XNIC_ASSIGN(const arch::nfp::Instruction insn, arch::nfp::decode(bits));
  return arch::nfp::to_text(insn);
}

// The schema stands in docs/run-json.md.
base::Result<ordered_json> to_json(const arch::nfp::Image& image, bool listing) {
  ordered_json json = {{"program", image.program},
                       {"instructions", image.source_insns},
                       {"words", image.words.size()},
                       {"stack_bytes", image.stack_bytes}};
  if (!listing) return json;
  ordered_json words = ordered_json::array();
  for (size_t i = 0; i < image.words.size(); ++i) {
    XNIC_ASSIGN(const std::string text, text_of(image.words[i]));
    ordered_json word = {{"word", fmt::format("{:013x}", image.words[i])}, {"operation", text}};
    if (const auto* line = image.line_at(image.slots[i]))
      word["file"] = line->file, word["line"] = line->line, word["source"] = line->text;
    words.push_back(std::move(word));
  }
  json["listing"] = std::move(words);
  return json;
}

}  // namespace

base::Result<int> compile_for_nfp(const CompileOptions& options) {
  if (!options.card.empty() || options.prove != "off")
    return base::make_error(base::ErrorKind::kBadInput, options.card.empty() ? "--prove" : "--card",
                            "is for the hxdp card");
  device::Device device;
  device::LoadOptions load;
  load.program = options.program_name;
  XNIC_ASSIGN(const auto reports, device::Object::check(device, options.object, load));
  if (!options.output.empty() && reports.size() != 1)
    return base::make_error(base::ErrorKind::kBadInput, options.object,
                            "has {} programs: choose one with --program, an image holds one", reports.size());
  namespace nfp = compile::target::nfp;
  nfp::CompileOptions card{arch::nfp::find_firmware(options.firmware), options.mtu};
  for (const std::string& pass : options.nfp_off) card.passes.put(*nfp::find_pass(pass), false);
  ordered_json list = ordered_json::array();
  for (const device::ProgramReport& report : reports) {
    if (!report.accepted) return base::Unexpected(*report.error);
    XNIC_ASSIGN(arch::nfp::Image image, nfp::compile(*report.program, *report.facts, card));
    image.program = report.name;
    if (!options.json) {
      fmt::print("{}: {} instructions, {} NFP instructions, {} bytes of stack\n", report.name, image.source_insns,
                 image.words.size(), image.stack_bytes);
      if (options.listing) fmt::print("{}", arch::nfp::listing(image));
    } else {
      XNIC_ASSIGN(ordered_json json, to_json(image, options.listing));
      list.push_back(std::move(json));
    }
    if (!options.output.empty()) XNIC_TRY(write_words(options.output, image));
  }
  if (options.json) fmt::print("{}\n", (list.size() == 1 ? list[0] : list).dump(2));
  return kExitOk;
}

base::Result<int> disassemble_nfp(const std::string& path) {
  XNIC_ASSIGN(const std::vector<uint8_t> bytes, base::read_file(path));
  if (bytes.empty() || bytes.size() % 8 != 0)
    return base::make_error(base::ErrorKind::kBadInput, path, "is no file of 8-byte words");
  for (size_t i = 0; i < bytes.size() / 8; ++i) {
    const auto word = base::load_le<uint64_t>(bytes.data() + 8 * i);
    auto text = text_of(word);
    if (!text)
      return base::make_error(text.error().kind, fmt::format("{}: word {}", path, i), "{}", text.error().detail);
    fmt::print("{:>6}  {:013x}  {}\n", fmt::format(".{}", i), word, *text);
  }
  return kExitOk;
}

}  // namespace xnic::tools
