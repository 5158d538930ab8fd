#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/programs/*.json. Run it after changing a case; the JSON files are what the tests read."""

import pathlib

import balancer
import changepoint
import digits
import filters
import forwarding
import small

SUITES = [
    small.drop, small.pass_all, small.tx, small.redirect, small.redirect_map, small.xdp1, small.xdp2, small.rxq_info,
    forwarding.adjust_tail, forwarding.router_ipv4, forwarding.simple_firewall, forwarding.tx_ip_tunnel,
    forwarding.nat44, balancer.katran_lb, balancer.katran_min, filters.rate_limiter, filters.parser_v6_qinq,
    filters.syncookie, changepoint.changepoint_fixed, changepoint.changepoint_double,
    changepoint.changepoint_stream, changepoint.changepoint_sample, digits.digits
]

if __name__ == "__main__":
    for make in SUITES:
        make().write(pathlib.Path(__file__).resolve().parent.parent)
