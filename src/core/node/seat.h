/* SPDX-License-Identifier: Apache-2.0
 *
 * Seats: one word a CPU, which names who may compute on it. Taking is a CAS that names the owner, free CPUs are free seats,
 * and a sweep frees what the dead held by scanning. No counter can be lost.
 *
 * A worker keeps its seat between tasks (RUN -> IDLE -> RUN, its own line); an IDLE seat may be stolen, so a stopped idle
 * worker keeps no CPU. A worker that parks in get frees its seat and comes back without one ("unseated"): whoever finishes
 * next gives a seat up, so coming back never waits. A task that needs no CPU runs on no seat: its worker rests the one it
 * has before. The daemon collects seats for leases by raising x_wanted.
 *
 * A process that is stopped computes nothing: while others want its seat the tick takes it away, or forgets that it is
 * unseated. It notices at its next task, and goes on without one until then.
 */
#ifndef SH_NODE_SEAT_H
#define SH_NODE_SEAT_H

#include "node/self.h"

/* Put a seat in state RUN for this worker. False when no CPU may be taken now. */
bool sh_seat_take(sh_self *self);
/* Could sh_seat_take succeed? Reads only. */
bool sh_seat_possible(const sh_self *self);
/* The task is over: keep the seat IDLE, or give it up if somebody is unseated or the daemon collects. */
void sh_seat_rest(sh_self *self);
/* Between two tasks: no longer unseated; give the seat up if somebody has a better claim to it. */
void sh_seat_between(sh_self *self);
/* Give the seat up altogether (about to park in get, to exit, or to serve a lease). */
void sh_seat_leave(sh_self *self);
/* Back from a parked get: run on, seated if a seat is free. */
void sh_seat_return(sh_self *self);

uint32_t sh_seats_free(const sh_segment *s);
/* Free ones and idle ones: nobody computes on them. */
uint32_t sh_seats_unused(const sh_segment *s);
/* Is a seat free or idle that nobody has a better claim to? */
bool sh_seats_open(const sh_segment *s);

#endif
