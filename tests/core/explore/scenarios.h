/* SPDX-License-Identifier: Apache-2.0
 *
 * All scenarios; each is defined in the file of its noun. */
#ifndef TESTS_CORE_EXPLORE_SCENARIOS_H
#define TESTS_CORE_EXPLORE_SCENARIOS_H

#include "explore.h"

/* parking.c */
extern const xp_scenario park_two_wakers;
extern const xp_scenario park_same_condition;
extern const xp_scenario park_killed_waker;
extern const xp_scenario park_stopped_waker;
/* rings.c */
extern const xp_scenario ring_takers;
extern const xp_scenario ring_killed;
/* records.c */
extern const xp_scenario record_freed_by_others;
extern const xp_scenario record_swept;
extern const xp_scenario record_block;
extern const xp_scenario record_chunk_returned;
extern const xp_scenario record_last_block;
/* arenas.c */
extern const xp_scenario arena_taken_over;
extern const xp_scenario arena_large;
extern const xp_scenario arena_covered;
extern const xp_scenario arena_killed;
extern const xp_scenario arena_visited;
/* entries.c */
extern const xp_scenario entry_birth;
extern const xp_scenario entry_read;
extern const xp_scenario entry_end;
extern const xp_scenario entry_end_helped;
extern const xp_scenario entry_swept;
/* waiting.c */
extern const xp_scenario waiter_helped;
extern const xp_scenario waiter_two;
extern const xp_scenario waiter_killed_sealer;
extern const xp_scenario waiter_stopped_sealer;
extern const xp_scenario waiter_minds_errors;
/* tasks.c */
extern const xp_scenario task_first;
extern const xp_scenario task_first_call;
extern const xp_scenario task_first_blocked;
extern const xp_scenario task_idle;
extern const xp_scenario task_leave;
extern const xp_scenario task_two;
extern const xp_scenario task_two_workers;
extern const xp_scenario task_spinner;
extern const xp_scenario task_waits;
extern const xp_scenario task_waits_idle;
extern const xp_scenario task_killed_worker;
extern const xp_scenario task_stopped_worker;
extern const xp_scenario task_killed_submitter;
extern const xp_scenario task_closed_class;
extern const xp_scenario task_closed_class_claimed;
extern const xp_scenario task_closed_actor;
extern const xp_scenario task_bits;
/* ending.c */
extern const xp_scenario ending_beside_run;
extern const xp_scenario ending_beside_death;
extern const xp_scenario ending_beside_retry;
extern const xp_scenario ending_in_time;
extern const xp_scenario ending_of_container;
extern const xp_scenario ending_of_stalled_call;
extern const xp_scenario ending_by_force;
extern const xp_scenario ending_with_children;
extern const xp_scenario ending_while_waiting;
extern const xp_scenario ending_under_lease;
extern const xp_scenario ending_of_queued_call;
extern const xp_scenario ending_too_late;
/* restarts.c */
extern const xp_scenario restart_beside_call;
extern const xp_scenario restart_beside_calls;
extern const xp_scenario restart_beside_argument;
extern const xp_scenario restart_beside_cancel;
extern const xp_scenario restart_beside_end;
extern const xp_scenario restart_killed_running;
extern const xp_scenario restart_killed_stalled;
extern const xp_scenario restart_killed_caller;
/* call_logs.c */
extern const xp_scenario call_log_killed;
extern const xp_scenario call_log_killed_in_the_cut;
extern const xp_scenario call_log_closed;
extern const xp_scenario call_log_closed_in_the_cut;
extern const xp_scenario call_log_cancelled;
/* streams.c */
extern const xp_scenario stream_taken;
extern const xp_scenario stream_dropped;
extern const xp_scenario stream_killed_producer;
extern const xp_scenario stream_dropped_and_killed;
extern const xp_scenario stream_bounded;
extern const xp_scenario stream_bounded_dropped;
extern const xp_scenario stream_bounded_killed_producer;
extern const xp_scenario stream_bounded_killed_consumer;
extern const xp_scenario stream_freed_twice;
extern const xp_scenario stream_passed_on;
/* pins.c */
extern const xp_scenario pin_beside_eviction;
extern const xp_scenario pin_beside_restore;
extern const xp_scenario pin_kept;
extern const xp_scenario pin_copy;
/* logs.c */
extern const xp_scenario log_hands;
extern const xp_scenario log_three_hands;
extern const xp_scenario log_argument;
extern const xp_scenario log_box;
extern const xp_scenario log_killed_holder;
extern const xp_scenario log_full;
/* seats.c */
extern const xp_scenario seat_two;
extern const xp_scenario seat_blocked;
extern const xp_scenario seat_killed;
extern const xp_scenario lease_idle;
/* helping.c */
extern const xp_scenario tick_beside_commit;
extern const xp_scenario tick_beside_inline;
extern const xp_scenario tick_beside_run;
extern const xp_scenario tick_beside_put;
extern const xp_scenario tick_and_reader;
/* looking.c */
extern const xp_scenario look_at_task;
extern const xp_scenario look_at_object;
extern const xp_scenario look_at_contents;
extern const xp_scenario look_at_small_contents;
extern const xp_scenario look_at_new;
extern const xp_scenario look_at_registry;
extern const xp_scenario look_for_children;
/* groups.c */
extern const xp_scenario group_removed;
extern const xp_scenario group_slot_reused;
/* boards.c */
extern const xp_scenario board_blocks;
extern const xp_scenario board_meet;
extern const xp_scenario board_spinner;
extern const xp_scenario board_late;
extern const xp_scenario board_newcomer;
extern const xp_scenario board_killed_party;
/* waits.c */
extern const xp_scenario waits_in_a_row;
extern const xp_scenario waits_no_circle;
extern const xp_scenario waits_for_all;
extern const xp_scenario waits_of_another;
/* children.c */
extern const xp_scenario child_killed_caller;
extern const xp_scenario child_killed_caller_of_actor;
extern const xp_scenario child_ends_beside_sweep;
extern const xp_scenario child_handed_over;
extern const xp_scenario child_of_overdue;
extern const xp_scenario child_kept;
/* traces.c */
extern const xp_scenario trace_read;
extern const xp_scenario trace_counted;

#endif
