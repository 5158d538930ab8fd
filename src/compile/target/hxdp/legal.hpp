// SPDX-License-Identifier: Apache-2.0
// Legalisation: which lane operation does the work of a value or effect, which operands it needs in registers, and
// which fit its fields.
#pragma once

#include <functional>
#include <vector>

#include "arch/hxdp/image.hpp"
#include "compile/opt/ir.hpp"

namespace xnic::compile::target::hxdp {

using opt::EffectId;
using opt::Graph;
using opt::NodeId;
using RegisterOf = std::function<arch::hxdp::Reg(NodeId)>;

// Splits constants that need two operations, so that their low part is a value of its own. Call once before use.
void prepare_constants(Graph& graph);

// Values that must be in registers for the operation of a value, an effect, or a condition.
void required(const Graph& graph, NodeId node, std::vector<NodeId>& out);
void required(const Graph& graph, const opt::Effect& effect, std::vector<NodeId>& out);
void required(const Graph& graph, const opt::Cond& cond, std::vector<NodeId>& out);

// The operations. `reg` gives the register of every value that required() named.
arch::hxdp::Op lower(const Graph& graph, NodeId node, arch::hxdp::Reg dst, bool speculative, const RegisterOf& reg,
                     std::vector<arch::hxdp::CallSite>& sites);
arch::hxdp::Op lower(const Graph& graph, const opt::Effect& effect, int dst, const RegisterOf& reg,
                     std::vector<arch::hxdp::CallSite>& sites);
arch::hxdp::Op lower(const Graph& graph, const opt::Cond& cond, const RegisterOf& reg);  // target 0
uint16_t call_site(const Graph& graph, const opt::CallInfo& call, const RegisterOf& reg,
                   std::vector<arch::hxdp::CallSite>& sites);

// What a value reads besides its operands: memory, map contents, packet bounds.
std::vector<opt::Loc> reads(const Graph& graph, NodeId node);

}  // namespace xnic::compile::target::hxdp
