// SPDX-License-Identifier: Apache-2.0
// Passes over the graph, one file each.
#pragma once

#include "compile/opt/ir.hpp"

namespace xnic::compile::opt {

// Removes phis that nothing needs, results that nothing reads, and masks of verdicts (a verdict has 32 bits). Always
// run: the scheduler relies on it.
void remove_dead_values(Graph& graph);

// Removes stores to stack bytes that nothing reads any more, and stores of zero to bytes that are still zero.
void remove_dead_stores(Graph& graph);

// memory = load(memory) + x becomes one addition in memory.
void form_memory_additions(Graph& graph);

// Neighbouring stores that copy neighbouring bytes or write constants become one.
void merge_stores(Graph& graph);

// Chains of additions and of bitwise operations become trees of least height.
void reassociate(Graph& graph);

// The folding steps of an Internet checksum become one operation.
void form_checksums(Graph& graph);

}  // namespace xnic::compile::opt
