/* SPDX-License-Identifier: Apache-2.0 */
/* Timers of event queues, in microseconds. The card has none: all do nothing. */
#ifndef __EFAB_TIMER_H__
#define __EFAB_TIMER_H__

#include <etherfabric/ef_vi.h>

#define ef_eventq_timer_prime(q, v) (q)->ops.eventq_timer_prime((q), (v))
#define ef_eventq_timer_run(q, v) (q)->ops.eventq_timer_run((q), (v))
#define ef_eventq_timer_clear(q) (q)->ops.eventq_timer_clear((q))
#define ef_eventq_timer_zero(q) (q)->ops.eventq_timer_zero((q))

#endif /* __EFAB_TIMER_H__ */
