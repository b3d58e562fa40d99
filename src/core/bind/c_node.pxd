# SPDX-License-Identifier: Apache-2.0
# The C node as the binding sees it: signatures only; constants come from the headers.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "<stdbool.h>" nogil:
    ctypedef bint cbool "bool"

cdef extern from "base/status.h" nogil:
    ctypedef enum sh_status:
        SH_OK, SH_EMPTY, SH_TIMEOUT, SH_FULL, SH_FENCED, SH_LOST, SH_INVALID, SH_OS, SH_AGAIN

cdef extern from "base/os.h" nogil:
    uint64_t sh_os_now_ns()
    uint32_t sh_os_cores()
    int sh_os_eventfd()
    int sh_os_punch(int fd, uint64_t offset, uint64_t n_bytes)
    int sh_os_futex_wait(void *word, uint32_t expected, uint64_t timeout_ns)
    bint sh_os_is_eventfd(int fd)
    int sh_os_prctl(int option, uint64_t argument)
    void sh_os_eventfd_signal(int fd)
    int sh_os_protect(void *p, uint64_t n_bytes, cbool writable)

cdef extern from "base/copy.h" nogil:
    void sh_copy(void *to, const void *frm, size_t n_bytes, uint32_t threads, cbool cold)

cdef extern from "base/id.h" nogil:
    ctypedef struct sh_id128:
        uint64_t lo, hi
    sh_id128 sh_id_root(uint32_t root)
    sh_id128 sh_id_child(sh_id128 parent, uint64_t counter)
    sh_id128 sh_id_draw(sh_id128 parent, uint64_t random)

cdef extern from "store/payload.h" nogil:
    enum: SH_PAYLOAD_VERSION, SH_PAYLOAD_ERROR, SH_PAYLOAD_SYSTEM_ERROR
    enum: SH_ERR_WORKER_DIED, SH_ERR_ACTOR_DIED, SH_ERR_CANCELLED, SH_ERR_ROOT_ENDED, SH_ERR_STORE_FULL, SH_ERR_DAMAGED, SH_ERR_OUT_OF_MEMORY, SH_ERR_TIMED_OUT, SH_ERR_ACTOR_UNAVAILABLE, SH_ERR_ENVIRONMENT, SH_ERR_GROUP_REMOVED
    ctypedef struct sh_payload:
        uint8_t version, py_minor
        uint16_t flags
        uint32_t n_rows, n_extents, spare
        uint64_t inband_bytes, digest
    ctypedef struct sh_row:
        uint64_t id_lo, id_hi
        uint32_t number, owner_node, index, generation
    ctypedef struct sh_extent:
        uint64_t offset
        uint64_t bytes
    ctypedef struct sh_system_error:
        uint32_t code, client, epoch, pid
        int32_t wait_status
        uint32_t class_id
        uint64_t function
    uint64_t sh_payload_inband_offset(const sh_payload *p)
    const sh_row *sh_payload_rows(const sh_payload *p)
    const sh_extent *sh_payload_extents(const sh_payload *p)

cdef extern from "node/repair.h" nogil:
    ctypedef struct sh_a64:
        pass
    ctypedef struct sh_a32:
        pass
    uint64_t sh_load_relaxed(const sh_a64 *p)
    void sh_store_release(sh_a64 *p, uint64_t v)
    uint64_t sh_load_acquire(const sh_a64 *p)
    void sh_store_relaxed(sh_a64 *p, uint64_t v)
    uint32_t sh_word_generation(uint64_t word)
    uint32_t sh_word_state(uint64_t word)
    uint32_t sh_word_who(uint64_t word)
    uint32_t sh_load32_relaxed(const sh_a32 *p)
    uint32_t sh_load32_acquire(const sh_a32 *p)
    ctypedef struct sh_a8:
        pass
    uint8_t sh_load8_relaxed(const sh_a8 *p)

    enum: SH_LAYOUT_VERSION, SH_CHECK, SH_MAX_DEMANDS, SH_MAX_KINDS, SH_PRIORITY_USUAL
    enum: SH_VALUE_SIZE_MASK, SH_VALUE_HAS_REFS, SH_VALUE_ERROR
    enum: SH_SLOT_ACTOR_CALL, SH_SLOT_CREATES_ACTOR, SH_SLOT_RETRY_OVERDUE, SH_SLOT_STREAM, SH_SLOT_DYNAMIC
    enum: SH_LOCAL_CLOSED, SH_LOCAL_MARKED, SH_LOCAL_WATCHED, SH_LOCAL_OWNED, SH_LOCAL_SHARED
    enum: SH_ROLE_DRIVER, SH_ROLE_WORKER, SH_ROLE_ACTOR
    enum: SH_EVENT_CLIENT_SWEPT, SH_EVENT_NEED_WORKERS, SH_EVENT_ACTOR_UNREFERENCED, SH_EVENT_STARVED, SH_EVENT_QUARANTINED, SH_EVENT_FLUSH, SH_EVENT_LIMITED, SH_EVENT_CONDEMNED, SH_EVENT_GRANTED
    enum: SH_COPY_PARALLEL_BYTES

    ctypedef struct sh_ref:
        uint32_t index, generation
    ctypedef struct sh_geometry:
        uint32_t node_number, cores
        uint64_t store_bytes
    ctypedef struct sh_segment:
        uint8_t *base
        const uint8_t *read_base
        sh_geometry fixed
        int fd
    ctypedef struct sh_segment_config:
        uint64_t store_bytes, cluster_lo, cluster_hi
        uint32_t node_number, n_seats, cores, small
    ctypedef struct sh_entry:
        sh_a64 word, head, loc, size_flags, producer
        uint64_t id_lo, id_hi
        uint32_t number
    ctypedef struct sh_slot:
        sh_a32 x_attempt
        sh_a64 word, deadline_left_ns
        sh_a8 x_pressed
        sh_a32 x_made
        uint32_t max_retries
        sh_a32 x_class
        uint16_t submitter, depth
        uint32_t flags
        uint64_t id_lo, id_hi, fn_lo, fn_hi, returns, spec_bytes
        uint32_t n_returns, n_deps, ahead
    ctypedef struct sh_park:
        sh_a32 x_wake
    ctypedef struct sh_client:
        sh_a32 x_state, x_epoch, x_pid, x_role, x_class, x_root, x_crew
        sh_a64 x_lease, x_submitted, x_completed, x_busy_ns, x_parks, x_current, x_room_wanted, x_since_ns, x_allowance, x_baseline
        sh_park park
    ctypedef struct sh_local:
        uint32_t generation, count, waiter, flags
    ctypedef struct sh_logged:
        uint32_t slot
    ctypedef struct sh_self:
        sh_segment seg
        sh_client *me
        uint32_t index, epoch, role
        cbool forked, open, lost, lacks_room
        sh_local *local
        sh_id128 task_id
        uint32_t task_counter, put_counter, depth, root, n_dead, n_kept
        uint64_t parent
        cbool logs, checkpoint_is_due
        uint32_t position, n_logged
        sh_logged *logged
        void (*wait_hook)(sh_a32 *word, uint32_t seq, uint64_t ns) noexcept

    sh_entry *sh_entry_at(const sh_segment *s, uint32_t index)
    sh_entry *sh_entry_checked(const sh_segment *s, sh_ref r)
    cbool sh_entry_is_closed(const sh_entry *e, uint32_t generation)
    uint8_t *sh_entry_bytes(const sh_segment *s, sh_entry *e)
    enum: SH_LOC_INLINE, SH_LOC_SPILLED
    uint32_t sh_loc_kind_of(uint64_t loc)
    cbool sh_loc_in_heap(uint64_t loc)
    uint64_t sh_heap_capacity(const sh_segment *s, uint64_t loc)
    sh_slot *sh_slot_at(const sh_segment *s, uint32_t slot)
    const sh_payload *sh_slot_payload(const sh_segment *s, sh_slot *t)
    sh_ref sh_slot_return(const sh_segment *s, sh_slot *t, uint32_t i)
    ctypedef struct sh_class:
        sh_a64 word
        sh_a32 x_restarts, tag
    sh_class *sh_class_at(const sh_segment *s, uint32_t class_id)
    sh_client *sh_client_at(const sh_segment *s, uint32_t client)
    sh_a8 *sh_run_state_of(const sh_segment *s, uint32_t client)
    uint32_t sh_clients_high(const sh_segment *s)
    cbool sh_slot_known(const sh_segment *s, uint32_t slot)
    enum: SH_CLIENT_LIVE
    sh_ref sh_ref_unpack(uint64_t v)
    uint64_t sh_class_memory(const sh_segment *s, uint32_t class_id)

    sh_status sh_self_open(sh_self *self, int segment_fd, int poke_fd, uint32_t index, uint32_t epoch)
    void sh_self_close(sh_self *self)
    void sh_self_forked(sh_self *self)
    void sh_self_lost(sh_self *self)
    void sh_self_leave(sh_self *self)
    void sh_self_poke(sh_self *self)
    sh_status sh_self_usable(const sh_self *self)
    cbool sh_self_first_touch(sh_self *self, const uint8_t *data, uint64_t n_bytes)

cdef extern from "node/refs.h" nogil:
    void sh_ref_own(sh_self *self, sh_ref r)
    sh_status sh_ref_take(sh_self *self, sh_ref r)
    sh_status sh_ref_adopt(sh_self *self, sh_ref r)
    void sh_ref_again(sh_self *self, sh_ref r)
    void sh_ref_share(sh_self *self, sh_ref r)
    void sh_ref_drop(sh_self *self, sh_ref r)
    void sh_ref_bury(sh_self *self, sh_ref r)
    void sh_ref_flush(sh_self *self)
    void sh_ref_leave(sh_self *self)
    void sh_pin(sh_self *self, sh_ref r)
    void sh_unpin(sh_self *self, sh_ref r)
    ctypedef enum sh_log_kind:
        SH_LOG_CONTAINS
    void sh_log_append(sh_self *self, sh_log_kind kind, sh_ref r)
    void sh_log_reserve(sh_self *self, uint32_t n)

cdef extern from "node/object.h" nogil:
    ctypedef struct sh_put:
        sh_ref ref
        uint64_t word, loc, bytes
        uint8_t *data
    sh_status sh_put_begin(sh_self *self, uint64_t n_bytes, sh_put *put)
    void sh_put_commit(sh_self *self, sh_put *put, uint64_t flags)
    void sh_put_commit_as(sh_self *self, sh_put *put, uint64_t flags, sh_id128 id, uint32_t number)
    void sh_put_abort(sh_self *self, sh_put *put)
    void sh_fill_system_error(sh_segment *s, sh_ref r, const sh_system_error *error)
    void sh_seal(sh_self *self, sh_ref r)
    uint8_t *sh_object_look(sh_self *self, sh_ref r)
    sh_status sh_fill(sh_self *self, sh_ref r, uint64_t n_bytes, uint64_t flags, uint8_t **data)

cdef extern from "node/stream.h" nogil:
    enum: SH_STREAM_TAIL, SH_STREAM_DONE, SH_VALUE_END
    uint32_t sh_stream_delivered(const sh_self *self, uint32_t slot)
    cbool sh_stream_is_wanted(const sh_self *self, uint32_t slot)
    sh_status sh_stream_begin(sh_self *self, uint32_t slot, sh_ref *permit)
    void sh_stream_seal(sh_self *self, uint32_t slot)
    void sh_stream_withdraw(sh_self *self, uint32_t slot)
    void sh_stream_fill_end(sh_self *self, uint32_t slot)
    sh_status sh_stream_take(sh_self *self, sh_ref r, sh_ref *next)

cdef extern from "node/idle.h" nogil:
    enum: SH_NO_DEADLINE
    cbool sh_may_spin(const sh_self *self)
    cbool sh_spin_closed(sh_self *self, sh_ref r, uint64_t limit_ns)
    sh_status sh_watch(sh_self *self, sh_ref r)
    sh_status sh_park_closed(sh_self *self, sh_ref r, const uint32_t *errors, uint64_t deadline_ns, uint64_t slice_ns)
    uint32_t sh_errors_sealed(const sh_self *self)
    void sh_mind_errors(sh_self *self, bint minds)
    void sh_tell_of_error(const sh_segment *s)
    sh_status sh_park_any(sh_self *self, uint32_t seq, uint64_t deadline_ns, uint64_t slice_ns)
    void sh_wake_worker(const sh_segment *s)
    ctypedef enum sh_run_state:
        SH_RUN_BUSY, SH_RUN_SPINNING, SH_RUN_PARKED
    void sh_set_run_state(sh_self *self, sh_run_state state)

cdef extern from "node/idle.h":
    ctypedef void (*sh_fired_fn)(void *context, sh_ref r) noexcept
    void sh_drain_fired(sh_self *self, sh_fired_fn fn, void *context) noexcept
    cbool sh_any_fired(const sh_self *self)
    cbool sh_spin_call(sh_self *self, uint64_t limit_ns) nogil

cdef extern from "queue/park.h" nogil:
    uint32_t sh_park_prepare(sh_park *p)
    void sh_park_announce(sh_park *p, uint32_t seq)
    void sh_park_cancel(sh_park *p)
    sh_status sh_park_sleep(sh_park *p, uint32_t seq, uint64_t timeout_ns)
    cbool sh_park_wake(sh_park *p)

cdef extern from "node/task.h" nogil:
    ctypedef struct sh_call:
        uint64_t fn_lo, fn_hi
        uint32_t class_id, n_returns, max_retries, flags
        uint64_t timeout_ns
        uint8_t priority
        uint32_t ahead
    sh_status sh_submit_begin(sh_self *self, const sh_call *call, uint64_t payload_bytes, uint32_t n_deps, uint32_t *slot,
                              uint8_t **payload, sh_ref *returns)
    void sh_submit_abort(sh_self *self, uint32_t slot, const sh_ref *returns)
    sh_status sh_submit_commit(sh_self *self, uint32_t slot, cbool has_rows, const sh_ref *returns)
    sh_status sh_next_try(sh_self *self, uint32_t *slot)
    cbool sh_should_run_awaited(const sh_self *self)
    sh_status sh_next_awaited(sh_self *self, sh_ref r, uint32_t *slot)
    void sh_resume(sh_self *self, uint32_t slot, uint64_t since_ns)
    cbool sh_next_possible(const sh_self *self)
    void sh_idle_announce(sh_self *self)
    void sh_idle_withdraw(sh_self *self)
    cbool sh_spin_next(sh_self *self)
    sh_status sh_commit(sh_self *self, uint32_t slot)
    void sh_unclaim(sh_self *self, uint32_t slot)
    cbool sh_may_retry(const sh_self *self, uint32_t slot)
    cbool sh_retry(sh_self *self, uint32_t slot)
    cbool sh_repeat_here(sh_self *self, uint32_t slot)
    cbool sh_is_run_by(uint64_t word, uint32_t client)
    cbool sh_is_ending(const sh_self *self, uint32_t slot)
    cbool sh_surrender(sh_self *self, uint32_t slot)
    void sh_block(sh_self *self)
    void sh_unblock(sh_self *self)
    cbool sh_should_exit(const sh_self *self)

cdef extern from "node/ledger.h" nogil:
    ctypedef struct sh_demand:
        uint32_t cpu_milli, gpu_milli, n
        uint32_t kinds[8]
        uint32_t milli[8]
    ctypedef struct sh_ledger:
        uint32_t capacity[64]
        uint32_t used[64]
    uint32_t sh_ledger_gpu_milli(const sh_ledger *l)
    uint32_t sh_ledger_gpu_used(const sh_ledger *l)

cdef extern from "node/repair.h" nogil:
    ctypedef struct sh_event:
        int64_t kind, a, b, c
    ctypedef struct sh_shape:
        uint32_t root, cpu_milli, gpu_milli, n_demands
        int32_t priority
        uint32_t crew
        uint32_t kinds[8]
        uint32_t milli[8]
        uint32_t group, bundle, tag
        cbool logs
    ctypedef struct sh_stats:
        uint64_t live_entries, live_slots, live_waiters, live_bytes, claimed_bytes
        uint64_t submitted, completed, busy_ns, parks
        uint64_t repairs, sweeps, quarantined, log_events
        uint64_t free_seats, leased_seats, clients
    ctypedef struct sh_spill:
        uint64_t n_live, n_away, bytes_away
    ctypedef struct sh_repair:
        sh_segment seg
        sh_spill spill
        int poke_fd, event_fd
        sh_ledger ledger
        uint32_t seat_pool_milli, pressed_max
        uint64_t pressed_pause_ns
        cbool running
    sh_status sh_repair_open(sh_repair *d, const sh_segment_config *config)
    sh_status sh_repair_start(sh_repair *d)
    void sh_repair_stop(sh_repair *d)
    void sh_repair_close(sh_repair *d)
    sh_status sh_repair_register(sh_repair *d, uint32_t pid, int pidfd, uint32_t role, int32_t class_id, uint32_t root,
                                 uint32_t crew, uint32_t *index, uint32_t *epoch)
    void sh_repair_fence(sh_repair *d, uint32_t index, uint32_t epoch)
    sh_status sh_repair_define_class(sh_repair *d, const sh_shape *shape, uint32_t *class_id)
    sh_status sh_repair_define_actor(sh_repair *d, const sh_shape *shape, uint32_t *class_id)
    void sh_repair_set_restarts(sh_repair *d, uint32_t class_id, cbool restarts, uint32_t incarnation)
    cbool sh_repair_reserve_actor(sh_repair *d, uint32_t class_id, uint32_t *gpu_mask)
    void sh_repair_close_class(sh_repair *d, uint32_t class_id, const sh_system_error *end)
    void sh_repair_fail_class(sh_repair *d, uint32_t class_id, const sh_system_error *end)
    void sh_repair_end_root(sh_repair *d, uint32_t root)
    sh_status sh_repair_set_capacity(sh_repair *d, uint32_t kind, uint32_t milli)
    enum: SH_VERDICT_LIMIT, SH_VERDICT_PRESSURE, SH_VERDICT_REMOVED
    ctypedef enum sh_verdict:
        pass
    sh_status sh_repair_condemn(sh_repair *d, uint32_t index, uint32_t epoch, sh_ref task, sh_verdict verdict)
    cbool sh_repair_hold(sh_repair *d, sh_ref r)
    void sh_repair_drop(sh_repair *d, sh_ref r)
    cbool sh_repair_hold_for(sh_repair *d, uint32_t client, uint32_t epoch, sh_ref r)
    ctypedef struct sh_holding:
        sh_ref object
        uint32_t client, count
    uint32_t sh_repair_holdings(sh_repair *d, sh_holding *out, uint32_t max)
    uint32_t sh_repair_events(sh_repair *d, sh_event *out, uint32_t max)
    void sh_repair_stats(sh_repair *d, sh_stats *out)
    cbool sh_repair_is_valid(sh_repair *d)

cdef extern from "node/children.h" nogil:
    enum: SH_MADE_FAILED
    ctypedef struct sh_child:
        sh_ref r
        uint64_t fn_lo, digest
        uint32_t counter, class_id, class_generation, flags, number
    uint64_t sh_digest_begin(uint32_t flags, uint32_t n_returns, uint32_t n_deps)
    uint64_t sh_digest_add(uint64_t digest, sh_id128 id, uint32_t number)
    uint32_t sh_made_below(const sh_slot *t)
    void sh_children_hand_over(sh_self *self, uint32_t slot, cbool any, cbool failed)
    void sh_children_end(sh_self *self, uint64_t parent)
    uint32_t sh_repair_children(sh_repair *d, uint32_t client, uint32_t epoch, sh_ref task, sh_child *out, uint32_t max)

cdef extern from "node/call_log.h" nogil:
    cbool sh_log_open(sh_self *self, uint32_t position)
    void sh_log_begin(sh_self *self, uint32_t slot)
    void sh_log_forget(sh_slot *t)
    void sh_log_raised(sh_self *self, uint32_t slot)
    cbool sh_log_has_raised(const sh_self *self, uint32_t slot)
    cbool sh_log_is_kept(const sh_self *self)
    void sh_log_cut(sh_self *self, uint32_t position)
    cbool sh_log_is_due(const sh_self *self, uint32_t every)

cdef extern from "node/cancel.h" nogil:
    sh_status sh_repair_cancel(sh_repair *d, sh_ref task, cbool force, cbool recursive)

cdef extern from "node/spill.h" nogil:
    ctypedef struct sh_victim:
        sh_ref ref
        uint64_t n_bytes "bytes"
        uint64_t place
    ctypedef struct sh_shortage:
        uint32_t n_waiting
        uint64_t largest, total
    ctypedef struct sh_restore:
        sh_ref ref
        uint64_t loc
        uint64_t n_bytes "bytes"
        uint64_t place
        uint8_t *data
    void sh_spill_shortage(sh_repair *d, sh_shortage *out)
    void sh_spill_wake(sh_repair *d)
    uint32_t sh_spill_choose(sh_repair *d, uint64_t largest, uint64_t total, sh_victim *out, uint32_t most, cbool *has_room)
    const uint8_t *sh_spill_bytes(sh_repair *d, sh_ref r, uint64_t *n_bytes)
    sh_status sh_spill_written(sh_repair *d, sh_ref r, uint64_t place)
    sh_status sh_spill_evict(sh_repair *d, sh_ref r)
    uint64_t sh_spill_trim(sh_repair *d, uint64_t largest, uint64_t n_bytes)
    sh_status sh_restore_begin(sh_repair *d, sh_ref r, sh_restore *out)
    sh_status sh_restore_commit(sh_repair *d, const sh_restore *restore)
    void sh_restore_abort(sh_repair *d, const sh_restore *restore)
    uint64_t sh_spill_forget(sh_repair *d, sh_ref r)
    uint32_t sh_spill_gone(sh_repair *d, uint64_t *places, uint32_t most, uint32_t looks)
    uint32_t sh_spill_next(sh_repair *d, sh_ref *out, uint32_t most)

cdef extern from "node/survey.h" nogil:
    enum: SH_CLIENT_DYING
    enum: SH_AWAITS_NOTHING, SH_AWAITS_SEVERAL
    enum: SH_WAIT_ANYHOW, SH_WAIT_SOLE, SH_WAIT_LISTED, SH_WAIT_ALL, SH_WAIT_ENDS_BY
    enum: SH_TASK_READY, SH_TASK_WAITING, SH_TASK_CLAIMED, SH_TASK_RUNNING, SH_TASK_COMMITTED, SH_TASK_KILLING
    enum: SH_TASK_CANCELLED, SH_TASK_OVERDUE, SH_TASK_LOGGED
    enum: SH_CLASS_LIVE, SH_CLASS_CLOSED, SH_CLASS_SEAT, SH_CLASS_FREE_RUN, SH_CLASS_LEASE, SH_CLASS_ACTOR, SH_CLASS_GROUP
    enum: SH_POOL_ENTRY, SH_POOL_SLOT, SH_POOL_WAITER, SH_WAITS_TASK, SH_WAITS_CLIENT, SH_ROLE_DAEMON, SH_OWNER_SHARED
    enum: SH_MAX_CLASSES, SH_NUMBER_ACTOR, SH_NUMBER_PUT, SH_NUMBER_PERMIT, SH_NUMBER_ITEM
    enum: SH_LOC_NONE, SH_LOC_BLOCK, SH_LOC_RUN
    ctypedef struct sh_task_view:
        sh_ref task, awaits
        uint32_t state, who, class_id, submitter, depth, flags, attempt, max_retries, root, n_returns, n_deps
        sh_id128 id, parent, function
        uint64_t spec_bytes
    ctypedef struct sh_object_view:
        sh_ref object, producer
        sh_id128 id
        uint32_t number, owner, owner_flags, where
        cbool closed, dropped
        uint64_t size, value_flags
    ctypedef struct sh_waiter_view:
        sh_ref object
        uint32_t kind, target
    ctypedef struct sh_client_view:
        uint32_t state, epoch, pid, role, class_id, root, run_state
        cbool blocked
        sh_ref current
        uint64_t since_ns, awaits, waits, room_wanted, submitted, completed, busy_ns, parks, lease
    ctypedef struct sh_class_view:
        uint32_t state, kind, root, cpu_milli, gpu_milli, taker, n_demands
        cbool unreferenced
        uint32_t kinds[8]
        uint32_t milli[8]
    uint32_t sh_survey_end(const sh_segment *s, uint32_t pool)
    enum: SH_TASK_LAST
    void sh_survey_count_tasks(const sh_segment *s, uint64_t *counts)
    cbool sh_survey_task(const sh_segment *s, uint32_t slot, sh_task_view *out)
    cbool sh_survey_object(const sh_segment *s, uint32_t entry, sh_object_view *out)
    cbool sh_survey_waiter(const sh_segment *s, uint32_t waiter, sh_waiter_view *out)
    cbool sh_survey_client(const sh_segment *s, uint32_t client, sh_client_view *out)
    cbool sh_survey_class(const sh_segment *s, uint32_t class_id, sh_class_view *out)
    uint32_t sh_survey_arguments(const sh_segment *s, sh_ref task, sh_ref *out, uint32_t most)
    uint32_t sh_survey_contents(const sh_segment *s, sh_ref object, sh_ref *out, uint32_t most)
    cbool sh_survey_is_pinned(const sh_segment *s, uint32_t client, uint32_t entry)
    sh_status sh_segment_observe(sh_segment *s, int fd)
    void sh_segment_detach(sh_segment *s)
    uint64_t sh_store_limit(const sh_segment *s)
    uint64_t sh_store_claimed(const sh_segment *s)

cdef extern from "node/waits.h" nogil:
    void sh_waits_tell(sh_self *self, uint64_t awaits, uint64_t waits)
    void sh_waits_change(sh_self *self, uint64_t waits)
    void sh_waits_end(sh_self *self)


cdef extern from "node/board.h" nogil:
    enum: SH_BOARD_MOST_PARTIES
    ctypedef struct sh_line:
        sh_a64 x_who
        sh_a64 x_words[1]
    ctypedef struct sh_board:
        uint8_t *lines
        uint32_t n_parties, n_words, me
    uint64_t sh_board_line_bytes(uint32_t n_words)
    sh_line *sh_board_line(const sh_board *b, uint32_t party)
    void sh_board_join(sh_self *self, const sh_board *b)
    void sh_board_tell(sh_self *self, const sh_board *b, uint32_t word, uint64_t value)
    uint32_t sh_board_behind(const sh_board *b, uint32_t first, uint32_t last, uint32_t word, uint64_t least)
    uint32_t sh_board_spin(sh_self *self, const sh_board *b, uint32_t first, uint32_t last, uint32_t word, uint64_t least, uint64_t limit_ns)
    sh_status sh_board_park(sh_self *self, const sh_board *b, uint32_t first, uint32_t last, uint32_t word, uint64_t least, uint64_t slice_ns)
    cbool sh_board_is_gone(const sh_segment *s, const sh_board *b, uint32_t party)

cdef extern from "bind/listener.h" nogil:
    ctypedef struct sh_listener:
        pass
    sh_listener *sh_listener_start(sh_client *me, int fd)
    cbool sh_listener_is_armed(sh_listener *l)
    void sh_listener_arm(sh_listener *l, uint32_t seq)
    void sh_listener_stop(sh_listener *l)

cdef extern from "bind/context.h":
    # What this thread is doing: whose calls it makes, and which references its pickler collects.
    ctypedef struct sh_thread_context:
        void *rows
        void *task
        sh_id128 task_id
        uint32_t counter, put_counter, depth
        uint64_t parent
        cbool adopts
        uint64_t client
    sh_thread_context sh_context

cdef extern from "node/group.h" nogil:
    ctypedef struct sh_bundle:
        sh_demand demand
        uint32_t cpu_used
        sh_ledger ledger
    sh_status sh_repair_define_group(sh_repair *d, const sh_demand *bundles, uint32_t n, uint32_t *class_id)
    cbool sh_repair_reserve_group(sh_repair *d, uint32_t class_id)
    void sh_repair_remove_group(sh_repair *d, uint32_t class_id)
    cbool sh_repair_look_at_bundle(sh_repair *d, uint32_t class_id, uint32_t bundle, sh_bundle *out)
