// SPDX-License-Identifier: Apache-2.0
// `xnic compile`, `explain`, `sweep` and `check --target`: what they print, what they write, what they refuse.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "process.hpp"

namespace xnic::tests::cli {
namespace {

size_t lines(const std::string& text) { return size_t(std::count(text.begin(), text.end(), '\n')); }
bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(Compile, PrintsASummaryAndAListingWithSourceLines) {
  const Finished plain = run({"compile", object("maps")});
  EXPECT_EQ(plain.exit_code, 0) << plain.err;
  EXPECT_EQ(lines(plain.out), 1u) << plain.out;
  EXPECT_TRUE(has(plain.out, " rows of 4 lanes, ")) << plain.out;
  const Finished listed = run({"compile", object("maps"), "--listing"});
  EXPECT_GT(lines(listed.out), 3u);
  EXPECT_TRUE(has(listed.out, "   0 | ")) << listed.out;
  EXPECT_TRUE(has(listed.out, "call map_lookup_elem(map ")) << listed.out;
  EXPECT_TRUE(has(listed.out, "bpf_map_lookup_elem(&")) << "the C line: " << listed.out;
}

TEST(Compile, LanesAndPassesAreSettingsOfTheCard) {
  const Finished one = run({"compile", object("maps"), "--card", "lanes=1"});
  EXPECT_TRUE(has(one.out, " rows of 1 lanes, ")) << one.out;
  const Finished bad = run({"compile", object("maps"), "--card", "off=no-such-pass"});
  EXPECT_NE(bad.exit_code, 0);
  EXPECT_TRUE(has(bad.err, "no pass \"no-such-pass\"")) << bad.err;
}

TEST(Compile, WritesAnImageThatIsTheSameEachTime) {
  const std::string a = scratch("a.hxdp"), b = scratch("b.hxdp");
  EXPECT_EQ(run({"compile", object("maps"), "-o", a}).exit_code, 0);
  EXPECT_EQ(run({"compile", object("maps"), "--out", b}).exit_code, 0);
  const std::string image = read_file(a);
  EXPECT_EQ(image.substr(0, 8), "XNICHXDP");
  EXPECT_EQ(image, read_file(b));
}

TEST(Compile, TooFewRowsNameTheParameter) {
  const Finished finished = run({"compile", object("maps"), "--card", "rows=2"});
  EXPECT_NE(finished.exit_code, 0);
  EXPECT_TRUE(has(finished.err, "the instruction memory has 2 (parameter rows=")) << finished.err;
  EXPECT_TRUE(finished.out.empty()) << finished.out;
}

TEST(Compile, ATailCallIsRefusedWithItsSourceLineAndRule) {
  for (const Finished& finished : {run({"compile", object("tail_call")}),
                                   run({"run", object("tail_call"), "--in", trace(), "--engine", "hxdp"})}) {
    EXPECT_EQ(finished.exit_code, 3) << finished.err;
    for (const char* part :
         {"tail_call.bpf.c:16: ", "bpf_tail_call(ctx, &programs, 1)", "an hXDP image holds one program"})
      EXPECT_TRUE(has(finished.err, part)) << part << " in " << finished.err;
  }
  EXPECT_EQ(run({"run", object("tail_call"), "--in", trace()}).exit_code, 0) << "the interpreter can";
}

TEST(Compile, AnImageHoldsOneProgram) {
  const Finished finished = run({"compile", object("two_programs"), "-o", scratch("two.hxdp")});
  EXPECT_NE(finished.exit_code, 0);
  EXPECT_TRUE(has(finished.err, "--program")) << finished.err;
}

TEST(Explain, SaysWhereCyclesGoAndWhatWouldHelp) {
  const Finished finished = run({"explain", object("maps"), "--in", trace()});
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  for (const char* part : {"Bound by ", "Cycles of a core, by cause, per packet:", "rows (one cycle each)",
                           "Lanes in use, by row run:", "Why rows follow each other:", "Rows that cost most",
                           "What would help (measured with the change made):", "twice the lanes"})
    EXPECT_TRUE(has(finished.out, part)) << part << " in " << finished.out;
}

TEST(Compile, TheJsonHasTheSummaryTheProofAndTheListing) {
  const Finished finished = run({"compile", object("maps"), "--json", "--listing", "--prove", "full"});
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  const auto json = nlohmann::json::parse(finished.out);
  for (const char* field :
       {"program", "instructions", "rows", "lanes", "operations", "call_sites", "stack_bytes", "fastest_rows", "exact"})
    EXPECT_TRUE(json.contains(field)) << field;
  EXPECT_EQ(json["proof"]["status"], "proved");
  EXPECT_TRUE(json["proof"]["not_proved"].empty());
  EXPECT_EQ(json["listing"].size(), json["rows"].get<size_t>());
  size_t operations = 0, with_source = 0;
  for (const auto& row : json["listing"]) {
    EXPECT_EQ(row.size(), json["lanes"].get<size_t>());
    for (const auto& lane : row) operations += !lane.is_null(), with_source += !lane.is_null() && lane.contains("line");
  }
  EXPECT_EQ(operations, json["operations"].get<size_t>());
  EXPECT_GT(with_source, 0u);
}

TEST(Compile, AnExactScheduleSaysHowFarItIsFromTheShortest) {
  const Finished finished = run({"compile", object("maps"), "--schedule", "exact", "--prove", "full"});
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  EXPECT_TRUE(has(finished.out, " regions have the shortest schedule there is, ")) << finished.out;
  const auto json = nlohmann::json::parse(run({"compile", object("maps"), "--schedule", "exact", "--json"}).out);
  EXPECT_GT(json["exact"]["regions"].get<int>(), 0);
  EXPECT_LE(json["exact"]["bound"].get<int>(), json["exact"]["rows"].get<int>());
  const Finished lane = run({"compile", object("maps"), "--schedule", "exact", "--card", "forwarding=lane"});
  EXPECT_EQ(lane.exit_code, 3) << lane.err;
  EXPECT_TRUE(has(lane.err, "forwarding=full")) << lane.err;
}

TEST(Compile, TheJsonOfTwoProgramsIsAList) {
  const auto json = nlohmann::json::parse(run({"compile", object("two_programs"), "--json"}).out);
  ASSERT_TRUE(json.is_array());
  EXPECT_EQ(json.size(), 2u);
}

// The path is cut into links that go forward, the last of them in the chain's last row.
TEST(Explain, TheChainOfTheCommonPathHasItsSourceLines) {
  const Finished text = run({"explain", object("maps"), "--in", trace()});
  for (const char* part : {"The path of most packets takes ", "bound by ", "The longest chain ", "a result"})
    EXPECT_TRUE(has(text.out, part)) << part << " in " << text.out;
  const Finished finished = run({"explain", object("maps"), "--in", trace(), "--json"});
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  const auto json = nlohmann::json::parse(finished.out);
  const auto& path = json["path"];
  ASSERT_FALSE(path["chain"].empty());
  EXPECT_LE(path["chain_rows"].get<int>(), path["rows"].get<int>());
  EXPECT_LE(path["lane_rows"].get<int>(), path["rows"].get<int>());
  int before = 0;
  bool source = false;
  for (const auto& link : path["chain"]) {
    EXPECT_GE(link["earliest"].get<int>(), before);
    before = link["earliest"].get<int>();
    source = source || has(link["source"].get<std::string>(), "bpf_map_lookup_elem");
  }
  EXPECT_EQ(before + 1, path["chain_rows"].get<int>());
  EXPECT_TRUE(source) << path.dump(1);
  EXPECT_EQ(json["causes"][0]["cause"], "rows (one cycle each)");
  EXPECT_EQ(json["changes"].size(), 6u);
}

// With several cores rows of packets mix; there is no path to show, and all the rest is there.
TEST(Explain, OfSeveralCoresHasNoPath) {
  const Finished finished = run({"explain", object("maps"), "--in", trace(), "--card", "cores=2", "--json"});
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  EXPECT_TRUE(nlohmann::json::parse(finished.out)["path"].is_null());
}

std::vector<std::string> run_image(const std::string& program, const std::string& image) {
  return {"run", object(program), "--in", trace(), "--engine", "hxdp", "--image", image};
}
std::string image_of(const std::string& program, std::vector<std::string> more = {}) {
  const std::string path = scratch(program + ".hxdp");
  std::vector<std::string> arguments = {"compile", object(program), "-o", path};
  arguments.insert(arguments.end(), more.begin(), more.end());
  EXPECT_EQ(run(arguments).exit_code, 0);
  return path;
}

TEST(Image, RunsAsTheProgramItWasCompiledFrom) {
  const std::string image = image_of("maps", {"--card", "lanes=2"});
  std::vector<std::string> arguments = run_image("maps", image);
  arguments.insert(arguments.end(), {"--json", "--dump-maps"});
  const Finished from_file = run(arguments);
  EXPECT_EQ(from_file.exit_code, 0) << from_file.err;
  const Finished compiled =
      run({"run", object("maps"), "--in", trace(), "--engine", "hxdp", "--card", "lanes=2", "--json", "--dump-maps"});
  EXPECT_EQ(from_file.out, compiled.out);
  EXPECT_EQ(
      run({"run", object("maps"), "--in", trace(), "--engine", "interp,hxdp", "--compare", "interp", "--image", image})
          .exit_code,
      0);
}

// What is wrong with an image file, and the words for it. Nothing runs.
TEST(Image, OfAnotherProgramIsRefused) {
  const Finished finished = run(run_image("context", image_of("maps")));
  EXPECT_EQ(finished.exit_code, 2) << finished.err;
  EXPECT_TRUE(has(finished.err, "compiled from another program")) << finished.err;
  EXPECT_EQ(finished.out, "");
}

TEST(Image, OfAnotherVersionIsRefused) {
  std::string bytes = read_file(image_of("maps"));
  bytes[8]++;
  write_file(scratch("version.hxdp"), bytes);
  const Finished finished = run(run_image("maps", scratch("version.hxdp")));
  EXPECT_EQ(finished.exit_code, 2) << finished.err;
  EXPECT_TRUE(has(finished.err, "version.hxdp") && has(finished.err, "this program reads version")) << finished.err;
}

TEST(Image, DamagedAnywhereIsRefused) {
  const std::string whole = read_file(image_of("maps"));
  const std::string path = scratch("damaged.hxdp");
  for (size_t at = 20; at < whole.size(); at += 61) {
    std::string bytes = whole;
    bytes[at] = char(bytes[at] ^ 0x10);
    write_file(path, bytes);
    const Finished finished = run(run_image("maps", path));
    EXPECT_EQ(finished.exit_code, 2) << at << ": " << finished.err;
    EXPECT_TRUE(has(finished.err, "the checksum does not match")) << finished.err;
  }
  for (size_t bytes : {size_t{0}, size_t{7}, size_t{19}, whole.size() / 2, whole.size() - 1}) {
    write_file(path, whole.substr(0, bytes));
    EXPECT_EQ(run(run_image("maps", path)).exit_code, 2) << bytes;
  }
  EXPECT_EQ(run(run_image("maps", object("maps"))).exit_code, 2) << "an object is no image";
}

TEST(Image, FixesWhatItWasCompiledFor) {
  std::vector<std::string> arguments = run_image("maps", image_of("maps"));
  arguments.insert(arguments.end(), {"--card", "branch_cycles=0"});
  EXPECT_EQ(run(arguments).exit_code, 0);
  arguments.back() = "lanes=8";
  const Finished finished = run(arguments);
  EXPECT_EQ(finished.exit_code, 2);
  EXPECT_TRUE(has(finished.err, "--card lanes=8: is fixed in the image")) << finished.err;
  EXPECT_EQ(run({"run", object("maps"), "--in", trace(), "--image", arguments[7]}).exit_code, 2) << "needs the engine";
}

// docs/hxdp.md shows what the smallest programs do cycle by cycle: it has to be what the card does now. Each program's
// table stands under its name.
TEST(Docs, TheCycleTablesAreThoseOfTheModel) {
  const std::string document = read_file(std::string(XNIC_SOURCE) + "/docs/hxdp.md");
  const std::string head = "| cycle | read-in | core | emission |";
  const auto table = [&](const std::string& text, size_t from) {
    const size_t begin = text.find(head, from);
    if (begin == std::string::npos) return std::string();
    size_t end = begin;
    while (end < text.size() && text[end] == '|') end = text.find('\n', end) + 1;
    return text.substr(begin, end - begin);
  };
  for (const std::string program : {"drop", "tx", "redirect"}) {
    const Finished finished = run({"run", std::string(XNIC_PROGRAMS) + "/v2/" + program + ".bpf.o", "--in", trace(),
                                   "--engine", "hxdp", "--trace-cycles", "4"});
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    const size_t section = document.find("\n`" + program + "`: ");
    ASSERT_NE(section, std::string::npos) << program;
    EXPECT_EQ(table(document, section), table(finished.out, 0)) << program;
    EXPECT_GT(lines(table(finished.out, 0)), 8u);
  }
}

TEST(Explain, NeedsPackets) {
  const Finished none = run({"explain", object("maps"), "--in", scratch("missing.pcap")});
  EXPECT_NE(none.exit_code, 0);
  EXPECT_TRUE(has(none.err, "missing.pcap")) << none.err;
}

TEST(Sweep, GivesOneLineForEachCard) {
  const Finished finished =
      run({"sweep", object("maps"), "--in", trace(), "--lanes", "1,4", "--cores", "1,2", "--csv"});
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  EXPECT_EQ(lines(finished.out), 5u) << finished.out;
  EXPECT_TRUE(finished.out.starts_with("lanes,cores,frame_bytes,clock_mhz,rows,")) << finished.out;
  EXPECT_TRUE(has(finished.out, "\n4,2,32,")) << finished.out;
}

TEST(CheckNfp, SaysWhatEachFirmwareWouldDo) {
  const Finished refused = run({"check", object("maps"), "--target", "nfp"});
  EXPECT_EQ(refused.exit_code, 1) << refused.out;
  EXPECT_TRUE(has(refused.out, "refused  any NFP-4000 board, firmware corenic")) << refused.out;
  EXPECT_TRUE(has(refused.out, "[nfp] ")) << refused.out;
  const Finished taken = run({"check", object("two_programs"), "--target", "nfp", "--board", "cx-2x10", "--json"});
  EXPECT_EQ(taken.exit_code, 0) << taken.out;
  EXPECT_TRUE(has(taken.out, "\"clock_mhz\": 633")) << taken.out;
  EXPECT_FALSE(has(taken.out, "\"taken\": false")) << taken.out;
  const Finished unknown = run({"check", object("two_programs"), "--target", "nfp", "--firmware", "none"});
  EXPECT_NE(unknown.exit_code, 0);
  EXPECT_TRUE(has(unknown.err, "corenic")) << unknown.err;
  EXPECT_NE(run({"check", object("two_programs"), "--board", "cx-2x10"}).exit_code, 0) << "--board without --target";
}

TEST(RunNfp, SaysHowFastTheCardIs) {
  const Finished taken = run({"run", object("two_programs"), "--program", "second", "--in", trace(), "--engine",
                              "interp,nfp", "--compare", "interp", "--nfp", "board=cx-2x10"});
  EXPECT_EQ(taken.exit_code, 0) << taken.err;
  EXPECT_TRUE(has(taken.out, "nfp at 633.00 MHz")) << taken.out;
  EXPECT_TRUE(has(taken.out, "Mpps")) << taken.out;
  EXPECT_TRUE(has(taken.out, "cores issue")) << taken.out;
  const Finished unknown =
      run({"run", object("two_programs"), "--in", trace(), "--engine", "nfp", "--nfp", "wheels=4"});
  EXPECT_NE(unknown.exit_code, 0);
  EXPECT_TRUE(has(unknown.err, "external_latency")) << unknown.err;
}

}  // namespace
}  // namespace xnic::tests::cli
