-- SPDX-License-Identifier: MIT
-- lua5.4 tests/crash/mutants.lua [-k] [NAME...]: breaks the core on purpose, one rule at a time, and
-- requires that the explorer or step_kill notices each. -k: keeps the directory of builds.
-- Each mutant replaces one text, which must occur exactly once, so that the table cannot rot unseen.
-- `scenes`: where the explorer is to look (explore -p); it has no time for all of them.
-- `chaos`: random kills of users of that thing are to notice it (chaos_lock, chaos_sem), not the explorer.
local CC = os.getenv("CC") or "gcc"
local root = os.getenv("LUAMP_SOURCE") or "."
local top = (os.getenv("TMPDIR") or "/tmp") .. "/mutants." .. tostring(os.time())
local jobs = 2

local mutants = {
  { "no_log", "arena/tx.c",
    "  lmp_store_rel32(&me->c->cx_txn, me->ntx);\n", "" },
  { "log_cleared_first", "arena/tx.c",
    "  lmp_store_rel32(&me->c->cx_txn, me->ntx);\n  tx_apply(me->a, me->c, me->ntx);\n"
      .. "  lmp_store_rel32(&me->c->cx_txn, 0);",
    "  lmp_store_rel32(&me->c->cx_txn, me->ntx);\n  lmp_store_rel32(&me->c->cx_txn, 0);\n"
      .. "  tx_apply(me->a, me->c, me->ntx);" },
  { "replay_cleared_first", "arena/tx.c",
    "  if (!tx_applied(a, c, n)) tx_apply(a, c, n);\n  lmp_store_rel32(&c->cx_txn, 0);",
    "  lmp_store_rel32(&c->cx_txn, 0);\n  if (!tx_applied(a, c, n)) tx_apply(a, c, n);" },
  { "replay_always", "arena/tx.c",
    "if (!tx_applied(a, c, n)) tx_apply", "tx_apply" },
  { "no_replay", "arena/reap.c", "    lmp_tx_replay(a, c);\n", "" },
  { "locks_before_replay", "arena/reap.c",
    "    lmp_tx_replay(a, c);\n    free_locks(a, c, id);", "    free_locks(a, c, id);\n    lmp_tx_replay(a, c);" },
  { "locks_not_freed", "arena/reap.c", "    free_locks(a, c, id);\n", "" },
  { "lock_freed_no_wake", "arena/reap.c",
    "    wake_all(a, off);\n    lmp_store_rel32(&c->cx_want[i], 0);", "    lmp_store_rel32(&c->cx_want[i], 0);" },
  { "wakes_not_paid", "arena/reap.c",
    "    wake_all(a, lmp_load_acq32(&c->cx_pwake[i]));\n", "" },
  { "waits_not_passed_on", "arena/reap.c",
    "  for (uint32_t i = 0; i < n && i < LMP_WAIT_MAX; i++) wake_all(a, lmp_load_rlx32(&c->cx_wait_word[i]));\n",
    "" },
  { "no_sweep", "arena/reap.c", "    lmp_memory_sweep(me, id);\n", "" },
  { "no_disown", "arena/reap.c", "    lmp_obj_disown(a, id);\n", "" },
  { "claims_kept", "arena/reap.c", "    drop_claims(a, id);\n", "" },
  { "holders_kept", "arena/reap.c", "      lmp_obj_release_all(me, slot);\n", "" },
  { "detached_looks_alive", "arena/reap.c",
    "        lmp_load_acq32(lmp_os_life_word(&a->ctxs[i].cx_life)) != 0) {", "        true) {" },
  { "ctx_free_first", "arena/reap.c",
    "    suspect(a, lmp_load_acq32(&c->cx_state) >> 8);\n",
    "    suspect(a, lmp_load_acq32(&c->cx_state) >> 8);\n    lmp_store_rel32(&c->cx_state, LMP_CTX_FREE);\n" },
  { "want_after_lock", "arena/arena.h",
    "  lmp_store_rel32(&me->c->cx_want[me->depth++], lmp_off32(me->a, lock));\n"
      .. "  if (LMP_UNLIKELY(!lmp_swap_if32(lock, 0, me->id))) lmp_lock_slow(me, lock);",
    "  if (LMP_UNLIKELY(!lmp_swap_if32(lock, 0, me->id))) lmp_lock_slow(me, lock);\n"
      .. "  lmp_store_rel32(&me->c->cx_want[me->depth++], lmp_off32(me->a, lock));" },
  { "lock_keeps_no_w", "arena/lock.c",
    "lmp_swap_if32(lock, seen, me->id | LMP_LOCK_W)", "lmp_swap_if32(lock, seen, me->id)" },
  { "tag_outside_tx", "channel/queue_put.c",
    "  if (!msg_inline(m)) lmp_tx_owner(me, d->block, LMP_TAG_SHARED);\n",
    "  if (!msg_inline(m)) {\n    lmp_me t = *me;\n    lmp_tx_begin(&t);\n"
      .. "    lmp_tx_owner(&t, d->block, LMP_TAG_SHARED);\n    uint32_t k = me->ntx;\n"
      .. "    lmp_tx_commit(&t);\n    me->ntx = k;\n  }\n" },
  { "segment_untagged", "channel/queue_put.c",
    "    lmp_tx_owner(me, d->seg, LMP_TAG_SHARED);\n", "" },
  { "put_owes_nothing", "channel/queue_put.c",
    "  lmp_owe(me, 0, lmp_qpos_word(&q->qt_pos));\n", "" },
  { "put_wakes_nobody", "channel/queue_put.c", "  if (n) {\n    lmp_fence", "  if (n > 1) {\n    lmp_fence" },
  { "put_pos_first", "channel/queue_put.c",
    "  cell_write(lmp_seg_cell(to, at), m, d->block);\n  if (!msg_inline(m))",
    "  lmp_store_rel64(&q->qt_pos, lmp_qpos_add(pos, msg_cells(m), 1));\n"
      .. "  cell_write(lmp_seg_cell(to, at), m, d->block);\n  if (!msg_inline(m))" },
  { "put_simple_pos_first", "channel/queue_put.c",
    "    cell_write(lmp_seg_cell(seg, first + cells), &msgs[k], 0);",
    "    lmp_store_rel64(&q->qt_pos, lmp_qpos_add(pos, cells + need, k + 1));\n"
      .. "    cell_write(lmp_seg_cell(seg, first + cells), &msgs[k], 0);" },
  { "put_no_stamp", "channel/queue_put.c",
    "    for (uint32_t i = 0; i < m->nhandles; i++) lmp_obj_stamp(me, m->handles[i]);\n", "" },
  { "put_wait_ends_early", "channel/queue_put.c",
    "  return lmp_wait_sleep(me, lmp_qpos_word(&q->qh_pos), (uint32_t)head, deadline);",
    "  lmp_err e = lmp_wait_sleep(me, lmp_qpos_word(&q->qh_pos), (uint32_t)head, deadline);\n"
      .. "  lmp_wait_end(me);\n  return e;" },
  { "put_flag_before_look", "channel/queue_put.c",
    "  head = lmp_load_acq64(&q->qh_pos); /* before the flag: who moves it later sees the flag */\n"
      .. "  lmp_flag_raise(&q->qf_flag, (uint32_t)head);\n"
      .. "  if (!still_full(q, lmp_load_acq64(&q->qh_pos))) return LMP_OK;\n",
    "  lmp_flag_raise(&q->qf_flag, (uint32_t)head);\n  head = lmp_load_acq64(&q->qh_pos);\n" },
  { "get_wait_ends_early", "channel/queue_get.c",
    "  return lmp_wait_sleep(me, lmp_qpos_word(&q->qt_pos), (uint32_t)tail, deadline);",
    "  lmp_err e = lmp_wait_sleep(me, lmp_qpos_word(&q->qt_pos), (uint32_t)tail, deadline);\n"
      .. "  lmp_wait_end(me);\n  return e;" },
  { "get_flag_not_raised", "channel/queue_get.c", "  lmp_flag_raise(&q->qe_flag, (uint32_t)tail);\n", "" },
  { "get_owes_nothing", "channel/queue_get.c",
    "  lmp_owe(me, 0, lmp_qpos_word(&q->qh_pos));\n  lmp_qpos start", "  lmp_qpos start" },
  { "get_holds_late", "channel/queue_get.c",
    "  for (uint32_t i = 0; i < in->nhandles; i++) lmp_obj_ref(me, in->handles[i]);\n}",
    "}\nstatic void ref_late(lmp_me *me, lmp_in *in) {\n"
      .. "  for (uint32_t i = 0; i < in->nhandles; i++) lmp_obj_ref(me, in->handles[i]);\n}",
    "  lmp_unlock(me, &q->qh_lock);\n  if (box->n == 0) {",
    "  lmp_unlock(me, &q->qh_lock);\n  for (uint32_t i = 0; i < box->n; i++) ref_late(me, &box->in[i]);\n"
      .. "  if (box->n == 0) {" },
  { "get_segment_kept", "channel/queue_get.c",
    "  if (c->used_up) lmp_tx_owner(me, c->used_up, me->id);\n", "" },
  { "close_owes_nothing", "channel/queue.c",
    "  lmp_owe(me, 0, lmp_qpos_word(&q->qt_pos));\n  lmp_owe(me, 1, lmp_qpos_word(&q->qh_pos));\n", "" },
  { "close_keeps_memory_waiters", "channel/queue.c", "  lmp_memory_wake(me->a);", "  ", scenes = "close" },
  { "close_unseen_before_memory", "channel/queue_put.c",
    "    if (lmp_qpos_closed(lmp_load_acq64(&q->qt_pos))) return LMP_E_CLOSED;\n", "", scenes = "close" },
  { "done_owes_nothing", "channel/queue.c",
    "  lmp_owe(me, 1, &q->qd_done);\n  do {", "  do {" },
  -- A flag lowered where its raiser may yet fall asleep takes four members: model/queue_wake_counter.pml
  -- and unit.wait have that mutant.
  { "flag_lowered_blindly", "arena/wait.c",
    "lmp_swap_if64(flag, seen, 0);", "lmp_store_rel64(flag, 0);" },
  { "raise_drops_bells", "arena/wait.c",
    "(old & LMP_FLAG_BELLS) | LMP_FLAG_RAISED | value", "LMP_FLAG_RAISED | value", scenes = "wait" },
  { "bells_not_rung", "arena/wait.c", "    lmp_bell_ring(a, seen & LMP_FLAG_BELLS);\n", "", scenes = "wait" },
  { "bits_taken_after_ring", "arena/wait.c",
    "    seen = lmp_and_ar64(flag, ~LMP_FLAG_BELLS);\n"
      .. "    lmp_fence_after_rmw(); /* the bits before the bells; pairs with the one in lmp_bell_empty */\n"
      .. "    /* CRASH: here: nobody else rings for these bits; the reaper rings all bells. */\n"
      .. "    lmp_bell_ring(a, seen & LMP_FLAG_BELLS);\n",
    "    lmp_bell_ring(a, seen & LMP_FLAG_BELLS);\n    seen = lmp_and_ar64(flag, ~LMP_FLAG_BELLS);\n",
    scenes = "wait" },
  { "reaper_rings_nobody", "arena/reap.c",
    "    lmp_bell_ring_all(a); /* it may have taken bits out of a flag, and not rung yet */\n", "", scenes = "wait" },
  { "reaper_rings_unrung", "arena/bell.c", "lmp_bell_ring_one(a, i, true)",
    "lmp_bell_ring_one(a, i, false)", scenes = "wait" },
  { "bells_of_the_dead_kept", "arena/reap.c", "      lmp_bell_free_all(a, slot);\n", "", scenes = "wait" },
  { "bell_hwm_late", "arena/bell.c",
    "    uint32_t hwm = lmp_load_acq32(&a->h->hd_bell_hwm); /* first: a ringer must find the entry */\n"
      .. "    while (hwm <= i && !lmp_cas_ar32(&a->h->hd_bell_hwm, &hwm, i + 1)) {\n    }\n"
      .. "    if (!lmp_swap_if32(&b->be_owner, 0, a->proc + 1)) continue;\n",
    "    if (!lmp_swap_if32(&b->be_owner, 0, a->proc + 1)) continue;\n"
      .. "    uint32_t hwm = lmp_load_acq32(&a->h->hd_bell_hwm);\n"
      .. "    while (hwm <= i && !lmp_cas_ar32(&a->h->hd_bell_hwm, &hwm, i + 1)) {\n    }\n", scenes = "wait" },
  { "wait_looks_before_arming", "sync/wait_any.c",
    "    if (how) bell_arm(me, w, how);\n    e = look(me, w, slept != LMP_OK);\n",
    "    e = look(me, w, slept != LMP_OK);\n    if (how) bell_arm(me, w, how);\n", scenes = "wait" },
  { "wait_arms_once", "sync/wait_any.c",
    "    if (how) bell_arm(me, w, how);\n    e = look", "    if (how && !w->bad) bell_arm(me, w, how);\n"
      .. "    w->bad = 1;\n    e = look", scenes = "wait" },
  { "wait_empties_after_arming", "sync/wait_any.c",
    "  lmp_bell_empty(me->a, me->bell - 1, how);\n  for (uint32_t i = 0; i < w->n; i++) {\n"
      .. "    if (w->src[i].obj) lmp_bell_arm(w->src[i].flag, me->bell - 1);\n  }\n",
    "  for (uint32_t i = 0; i < w->n; i++) {\n"
      .. "    if (w->src[i].obj) lmp_bell_arm(w->src[i].flag, me->bell - 1);\n  }\n"
      .. "  lmp_bell_empty(me->a, me->bell - 1, how);\n", scenes = "wait" },
  { "wait_drains_after_emptying", "sync/wait_any.c",
    "  if (how == LMP_BELL_SOCKET) lmp_os_bell_drain(me->bell_fd); /* see sync/bell.c for the order */\n"
      .. "  lmp_bell_empty(me->a, me->bell - 1, how);\n",
    "  lmp_bell_empty(me->a, me->bell - 1, how);\n"
      .. "  if (how == LMP_BELL_SOCKET) lmp_os_bell_drain(me->bell_fd);\n", scenes = "wait" },
  { "show_looks_before_arming", "sync/bell.c", "    if (!kind->watch(me, obj, &flag)) return;\n",
    "    return;\n", scenes = "wait" },
  { "show_drains_after_emptying", "sync/bell.c",
    "    lmp_os_bell_drain(b->fd);\n    lmp_bell_empty(me->a, number, LMP_BELL_SOCKET);\n",
    "    lmp_bell_empty(me->a, number, LMP_BELL_SOCKET);\n    lmp_os_bell_drain(b->fd);\n", scenes = "wait" },
  { "split_rest_last", "arena/span.c",
    "  if (len > n) {\n    lmp_store_rlx64(&a->map[s + n].sp_word,\n"
      .. "                    LMP_SPAN_WORD(LMP_SPAN_FREE, LMP_SPAN_CLASS(word), 0, len - n));\n  }\n"
      .. "  lmp_store_rel64(&a->map[s].sp_word, LMP_SPAN_WORD(LMP_SPAN_LARGE, 0, me->id, n));",
    "  lmp_store_rel64(&a->map[s].sp_word, LMP_SPAN_WORD(LMP_SPAN_LARGE, 0, me->id, n));\n"
      .. "  if (len > n) {\n    lmp_store_rel64(&a->map[s + n].sp_word,\n"
      .. "                    LMP_SPAN_WORD(LMP_SPAN_FREE, LMP_SPAN_CLASS(word), 0, len - n));\n  }" },
  { "hint_left_behind", "arena/span.c",
    "  if (lmp_load_rlx32(hint) > from) lmp_store_rel32(hint, from);\n", "" },
  { "hwm_before_head", "arena/span.c",
    "  lmp_store_rlx64(&me->a->map[s].sp_word, LMP_SPAN_WORD(LMP_SPAN_LARGE, 0, me->id, n));\n"
      .. "  /* CRASH: before: nobody looks beyond hwm. After: the run is ours and swept. */\n"
      .. "  lmp_store_rel32(&h->hd_span_hwm, s + n);",
    "  lmp_store_rel32(&h->hd_span_hwm, s + n);\n"
      .. "  lmp_store_rel64(&me->a->map[s].sp_word, LMP_SPAN_WORD(LMP_SPAN_LARGE, 0, me->id, n));" },
  { "no_recheck_of_span", "arena/block.c",
    "    if (!span_is_small(a, s, cls)) { /* it became", "    if (false) { /* it became" },
  { "trim_keeps_tags", "arena/block.c",
    "    for (uint32_t i = 0; i < n; i++) lmp_swap_if16(&span_tags(a, s)[i], (uint16_t)me->id, 0);\n", "" },
  { "free_wakes_nobody", "arena/block.c", "  lmp_memory_wake(a);\n  if (me->freed", "  if (me->freed" },
  { "collect_no_recheck", "arena/collect.c",
    "lmp_load_acq32(&o->ob_sent) == epoch || lmp_load_acq32(&o->ob_mark) == epoch;",
    "lmp_load_acq32(&o->ob_mark) == epoch;" },
  { "stamp_set_back", "arena/collect.c",
    "while (seen != epoch && !lmp_cas_ar32(&o->ob_sent, &seen, epoch));",
    "while (0);\n  lmp_store_rel32(&o->ob_sent, epoch);" },
  { "ends_not_asked_for", "arena/collect.c",
    "    lmp_add_ar32(&h->hd_gc_asked, 1);\n", "" },
  { "flight_unknown", "arena/collect.c",
    "  if ((o && end_is_seen(me->a, o)) || lmp_load_acq32(&h->hd_gc_flight)) {",
    "  if (o && end_is_seen(me->a, o)) {" },
  { "asked_once", "arena/collect.c",
    "  } while (lmp_collect_asked(me->a));", "  } while (0);" },
  { "dying_end_keeps_nothing", "arena/collect.c",
    "  if (state == LMP_OBJ_DYING) return end_is_seen(a, o);\n", "" },
  -- An end that was never sent and is about to be destroyed (G5) takes three switches of two members
  -- to be missed; only the random schedules of a soak come there.
  { "entrust_no_stamp", "arena/object.c",
    "  lmp_fence_sc();\n  lmp_obj_stamp(me, h);\n", "" },
  { "pipe_end_not_told", "channel/pipe.c", "  if (out) lmp_queue_close(me, out);\n", "" },
  { "pipe_reader_not_told", "channel/pipe.c", "  if (in) stop_stream(me, in);\n", "" },
  { "pipe_stream_of_both", "channel/pipe.c",
    "  if (in) lmp_queue_trace(me, in);\n",
    "  if (in) lmp_queue_trace(me, in);\n  lmp_obj *out = live ? lmp_obj_get(me->a, c->cn_out) : NULL;\n"
      .. "  if (out) lmp_queue_trace(me, out);\n" },
  { "pipe_deaf_only", "channel/pipe.c",
    "  lmp_queue_cancel(me, lmp_obj_at(me->a, c->cn_in.obj));\n", "" },
  { "poll_keeps_wake", "channel/queue_get.c",
    "    lmp_flag_wake(me->a, &q->qe_flag, lmp_qpos_word(&q->qt_pos), 1);\n"
      .. "    lmp_wait_end(me);\n  }\n  return e;\n}\n\n"
      .. "bool lmp_queue_drop", "    lmp_wait_end(me);\n  }\n  return e;\n}\n\nbool lmp_queue_drop" },
  { "destroy_name_late", "arena/object.c",
    "    lmp_tx_set64(me, &o->ob_name, 0);\n", "" },
  { "unheld_looks_once", "arena/object.c",
    "  bool sent = lmp_load_acq32(&o->ob_sent) != 0;\n  if (obj_state", "  bool sent = false;\n  if (obj_state",
    scenes = "dict_large" },
  { "ctx_is_on_its_way_out", "arena/member.c", "  return life != 0 && !(life", "  return !(life",
    scenes = "dict_update" },
  { "dict_count_outside", "channel/dict_write.c",
    "  lmp_tx_set64(me, &st->st_count, lmp_stripe_changed(st, (entry != NULL) - (old != NULL)));\n",
    "  lmp_store_rel64(&st->st_count, lmp_stripe_changed(st, (entry != NULL) - (old != NULL)));\n", scenes = "dict" },
  { "dict_entry_untagged", "channel/entry.c",
    "  lmp_tx_owner(me, off, LMP_TAG_SHARED);\n  if (LMP_LIKELY(!e->en_nh)) return;",
    "  if (LMP_LIKELY(!e->en_nh)) return;", scenes = "dict" },
  { "dict_overwrites_plainly", "channel/dict_write.c",
    "lmp_tx_set64(me, &first[i], words[i]);", "lmp_store_rel64(&first[i], words[i]);", scenes = "dict_set" },
  { "dict_split_keeps_upper", "channel/dict_write.c", "  if (upper) lmp_tx_set64(me, link, 0);\n", "",
    scenes = "dict_grow" },
  { "dict_split_in_two_steps", "channel/dict_write.c",
    "  if (upper) lmp_tx_set64(me, link, 0);\n  lmp_tx_set32(me, &st->st_buckets, fresh + 1);",
    "  if (upper) lmp_store_rel64(link, 0);\n  lmp_tx_set32(me, &st->st_buckets, fresh + 1);", scenes = "dict_grow" },
  { "dict_segment_kept", "channel/slots.c",
    "  d->seg = dir->dr_seg[seg];\n  lmp_tx_owner(me, d->seg, me->id);\n",
    "  d->seg = 0;\n", scenes = "dict_shrink" },
  { "dict_destroyed_unlocked", "channel/dict.c",
    "    lmp_lock(me, &st->st_lock);\n    lmp_tx_begin(me);\n    lmp_entry_unlink_dying(me, off, held);\n"
      .. "    lmp_tx_set64(me, head, lmp_entry_at(me->a, off)->en_next);\n    lmp_tx_commit(me);\n"
      .. "    lmp_unlock(me, &st->st_lock);\n",
    "    lmp_tx_begin(me);\n    lmp_entry_unlink_dying(me, off, held);\n"
      .. "    lmp_tx_commit(me);\n    *head = lmp_entry_at(me->a, off)->en_next;\n", scenes = "dict_drop" },
  { "dict_clear_in_steps", "channel/dict_clear.c",
    "    lmp_tx_set64(me, &st->st_slots.sl_dir, 0);\n", "    lmp_store_rel64(&st->st_slots.sl_dir, 0);\n",
    scenes = "dict_clear" },
  { "dict_clear_ignores_holds", "channel/dict_clear.c", "    if (!d->di_stripe[i].st_holds) continue;\n",
    "    continue;\n", scenes = "dict_clear" },
  { "hold_ends_silently", "channel/dict_hold.c",
    "  lmp_owe(me, 0, &st->st_release);\n  lmp_tx_begin(me);", "  lmp_tx_begin(me);", scenes = "dict_update" },
  { "hold_stored_silently", "channel/dict_write.c", "    lmp_owe(me, 0, &st->st_release);\n", "",
    scenes = "dict_update" },
  { "hold_of_the_dead_counts", "channel/dict_hold.c",
    "    *dead = !lmp_ctx_is(me->a, h->ho_id, h->ho_serial);", "    *dead = false;", scenes = "dict_update" },
  { "hold_death_unseen", "channel/dict_hold.c", "lmp_os_futex_wait(w, 2, until)", "lmp_os_futex_wait(w, 1, until)",
    scenes = "dict_update" },
  { "hold_flag_not_raised", "channel/dict_hold.c", "  lmp_flag_raise(&st->st_flag, seen);\n", "",
    scenes = "dict_update" },
  { "large_read_unheld", "channel/entry.c",
    "    lmp_obj_ref(me, lmp_entry_large(e));\n    out_large(me, out, e);", "    out_large(me, out, e);\n"
      .. "    out->large = (lmp_handle){0, 0};", scenes = "dict_large" },
  { "large_not_stamped", "channel/entry.c",
    "  for (uint32_t i = 0; i < n; i++) lmp_obj_stamp(me, lmp_entry_handle(e)[i]);\n", "", scenes = "dict_large" },
  { "large_stays_named", "channel/entry.c",
    "  lmp_obj_ref(me, lmp_entry_large(e));\n"
      .. "  lmp_tx_set32(me, &lmp_obj_at(me->a, lmp_entry_large(e).obj)->ob_sent, 0);\n",
    "  lmp_obj_ref(me, lmp_entry_large(e));\n", scenes = "dict_large" },
  { "list_gap_first", "channel/list.c",
    "    lmp_store_rel64(to, *from);\n    lmp_store_rel32(&l->ls_gap, g + 2);",
    "    lmp_store_rel32(&l->ls_gap, g + 2);\n    lmp_store_rel64(to, *from);", scenes = "list" },
  { "list_gap_left", "channel/list.c", "  if (LMP_UNLIKELY(l->ls_gap)) gap_to_end(me, l);\n", "", scenes = "list" },
  { "list_trace_misses", "channel/list.c",
    "  if (at < l->ls_traced) lmp_tx_set32(me, &l->ls_traced, l->ls_traced - 1);\n", "", scenes = "list" },
  { "unref_no_lock", "arena/object.c",
    "  bool live = lmp_obj_get(a, h) && (obj_held(o) || lmp_load_acq32(&o->ob_sent) != 0);\n",
    "  bool live = true;\n" },
  { "hold_in_collection", "arena/object.c",
    "  uint32_t condemned = lmp_collect_pause(me);\n", "",
    "  lmp_collect_resume(me, condemned);\n", "" },
  { "hold_forgets_verdict", "arena/collect.c",
    "  lmp_lock(me, &me->a->h->hd_gc_lock);\n  return condemn(me);",
    "  lmp_lock(me, &me->a->h->hd_gc_lock);\n  return 0;" },
  { "destroyed_while_looked_at", "arena/object.c",
    "kind->abandon && LMP_UNLIKELY(slot_looked_at(a, (uint32_t)(o - a->objs)))", "false" },
  { "lk_keeps_no_w", "sync/lock.c",
    "id | (w->since ? LMP_LK_W : seen & LMP_LK_W)", "id | (seen & LMP_LK_W)", scenes = "lock" },
  { "lk_turn_kept", "sync/lock.c",
    "  /* Its sleepers are woken with the wait record that it has left. */\n"
      .. "  lmp_swap_if32(&k->lk_next, id, 0);\n", "", scenes = "lock" },
  { "lk_reaper_silent", "sync/lock.c", "  if (seen & LMP_LK_ABANDONED) {", "  if (false) {", scenes = "lock" },
  { "lk_wait_ends_early", "sync/lock.c",
    "    got = take(&w, e == LMP_E_TIMEOUT, abandoned);\n",
    "    lmp_wait_end(me);\n    got = take(&w, e == LMP_E_TIMEOUT, abandoned);\n", scenes = "lock" },
  { "lk_turn_after_word", "sync/lock.c",
    "  unsigned n = 0;\n  uint32_t owner",
    "  unsigned n = 0;\n  words[n++] = (lmp_waitword){&k->lk_word, seen};\n  uint32_t owner",
    "&k->lk_next, next};\n  words[n++] = (lmp_waitword){&k->lk_word, seen};\n", "&k->lk_next, next};\n",
    scenes = "lock" },
  { "nothing_abandoned", "arena/reap.c", "    lmp_abandon(me, id);\n", "", scenes = "lock" },
  { "cond_not_passed_on", "sync/condition.c", "    pass_on(a, o, id);\n", "", scenes = "cond" },
  { "cond_owes_nothing", "sync/condition.c",
    "    lmp_owe(me, 0, &a->ctxs[id - 1].cx_cond);\n", "", scenes = "cond" },
  { "cond_bit_after", "sync/condition.c",
    "  bit_clear(cond_of(o), id); /* before the word, by which a further reaper comes here */\n", "",
    "    lmp_store_rel32(word, 0); /* after: CRASH: before: another one is notified once more */\n  }\n",
    "    lmp_store_rel32(word, 0);\n  }\n  bit_clear(cond_of(o), id);\n", scenes = "cond" },
  { "rlock_depth_not_counted", "sync/lock.c", "      lmp_store_rlx32(&k->lk_depth, depth + 1);\n", "",
    scenes = "rlock" },
  { "elem_add_in_two_steps", "channel/elem.c", "      return lmp_add_ar64(p, n) + n;\n",
    "      lmp_store_rel64(p, lmp_load_acq64(p) + n);\n      return lmp_load_acq64(p);\n", scenes = "array_add" },
  { "elem_add_float_blind", "channel/elem.c", "    if (swap_bits(t, p, &seen, sum)) return sum;\n",
    "    lmp_store_rel64(p, sum);\n    return sum;\n", scenes = "array_add" },
  { "wait_lock_unasked", "sync/lock.c",
    "    if (seen & LMP_LK_W || lmp_cas_ar32(&k->lk_word, &seen, seen | LMP_LK_W)) return false;\n",
    "    return false;\n", scenes = "wait_lock" },
  { "wait_event_not_rung", "sync/event.c",
    "  lmp_flag_wake(me->a, &ev->ev_flag, &ev->ev_turns, INT32_MAX);\n",
    "  lmp_os_futex_wake(&ev->ev_turns, INT32_MAX);\n", scenes = "wait_event" },
  { "array_link_no_stamp", "channel/array.c", "    lmp_obj_stamp(me, h);\n", "", scenes = "array" },
  { "array_link_blind", "channel/array.c", "  if (*word == 0) {", "  if (true) {", scenes = "array" },
  { "array_block_untagged", "channel/array.c",
    "  if (data) lmp_tx_owner(me, data, LMP_TAG_SHARED);\n", "", scenes = "array" },
  { "array_trace_nothing", "channel/array.c",
    "  if (rlock.obj) lmp_collect_mark(me, rlock);\n", "", scenes = "array" },
  { "sem_owes_nothing", "sync/semaphore.c", "  lmp_owe(me, 0, pos_word(s));\n  do {", "  do {" },
  { "sem_wakes_before", "sync/semaphore.c",
    "  lmp_owe(me, 0, pos_word(s));\n  do {",
    "  lmp_owe(me, 0, pos_word(s));\n  lmp_flag_wake(me->a, &s->se_flag, pos_word(s), 1);\n  do {",
    "  lmp_flag_wake(me->a, &s->se_flag, pos_word(s), 1);\n  lmp_owe_none(me, 0);\n  return LMP_OK;",
    "  lmp_owe_none(me, 0);\n  return LMP_OK;" },
  { "sem_wait_ends_early", "sync/semaphore.c",
    "    if (try_take(s, &pos)) {\n      e = LMP_OK;",
    "    lmp_wait_end(me);\n    if (try_take(s, &pos)) {\n      e = LMP_OK;" },
  { "bounded_not_given_back", "sync/bounded.c",
    "    while (holder(seen) == id && !lmp_cas_ar32(&p[i], &seen, changed(seen, 0))) {\n    }\n", "    (void)seen;\n" },
  { "bounded_reaper_silent", "sync/bounded.c", "  tell(me, b, INT32_MAX);\n", "" },
  { "bounded_seq_first", "sync/bounded.c",
    "    uint32_t seq = lmp_load_acq32(&b->bs_seq); /* before the flag and the look: BS3 */\n"
      .. "    lmp_flag_raise(&b->bs_flag, seq);\n    if (try_take(me, b)) {\n      e = LMP_OK;\n      break;\n    }\n",
    "    if (try_take(me, b)) {\n      e = LMP_OK;\n      break;\n    }\n"
      .. "    uint32_t seq = lmp_load_acq32(&b->bs_seq);\n    lmp_flag_raise(&b->bs_flag, seq);\n" },
  { "bounded_owns_nothing", "sync/bounded.c",
    "  lmp_owns(me); /* also where another acquired: see CRASH above */\n", "" },
  { "event_owes_nothing", "sync/event.c", "  lmp_owe(me, 0, &ev->ev_turns);\n", "" },
  { "event_no_pulse", "sync/event.c",
    "  if (lmp_load_acq32(&ev->ev_turns) != turns) e = LMP_OK; /* EV2 */\n", "",
    "  while (!e && lmp_load_acq32(&ev->ev_turns) == turns) {\n"
      .. "    e = lmp_wait_sleep(me, &ev->ev_turns, turns, deadline);",
    "  while (!e && !lmp_event_is_set(o)) {\n    turns = lmp_load_acq32(&ev->ev_turns);\n"
      .. "    if (!(turns & 1)) e = lmp_wait_sleep(me, &ev->ev_turns, turns, deadline);" },
  { "barrier_dead_stay", "sync/barrier.c",
    "           !lmp_cas_ar64(&b->ba_state, &s, broken(s))) {\n    }",
    "           false) {\n    }" },
  { "barrier_place_first", "sync/barrier.c",
    "    s = lmp_load_acq64(&b->ba_state);\n    while (attempt_of(s) == place_attempt(seen)",
    "    lmp_store_rel64(place, 0);\n    s = lmp_load_acq64(&b->ba_state);\n"
      .. "    while (attempt_of(s) == place_attempt(seen)" },
  { "barrier_reaper_silent", "sync/barrier.c",
    "  /* Whatever there was: one who was killed in the middle of this has left no trace of it. */\n"
      .. "  lmp_os_futex_wake(state_word(b), INT32_MAX);\n", "" },
  { "barrier_owes_nothing", "sync/barrier.c",
    "  lmp_owe(me, 0, state_word(b));\n  bool done", "  bool done" },
  { "barrier_counts_twice", "sync/barrier.c",
    "bool complete = !same_round(attempt_of(s), attempt_of(p->state));", "bool complete = false;" },
  { "barrier_place_again", "sync/barrier.c",
    "p->index - 1), place_word(p->state, 0));", "p->index - 1), 0);" },
  { "barrier_place_stale", "sync/barrier.c",
    "      if (!same_attempt(lmp_load_acq64(&b->ba_state), s)) return OVER; /* after the place: BA2 */\n", "" },
  { "barrier_vacancy_unseen", "sync/barrier.c",
    "  if (at && lmp_load_acq64(at) != seen) return LMP_OK;\n", "" },
  { "barrier_vacancy_no_turn", "sync/barrier.c",
    "return after(s, attempt_of(s), s & BROKEN);", "return s & ~(VACANCY | WAITERS);", scenes = "barrier" },
  { "barrier_all_wait", "sync/barrier.c",
    "  while ((s & VACANCY) && !turn(me, b, &s, vacated(s))) {\n  }\n", "" },
  { "chaos_cond_not_passed_on", "sync/condition.c", "    pass_on(a, o, id);\n", "", chaos = "lock condition" },
  { "chaos_cond_wakes_nobody", "sync/condition.c",
    "  if ((seen & COND_STATE) == COND_ASLEEP) lmp_os_futex_wake(word, 1);\n", "", chaos = "lock condition" },
  { "chaos_event_owes_nothing", "sync/event.c", "  lmp_owe(me, 0, &ev->ev_turns);\n", "", chaos = "sem event" },
  { "chaos_sem_owes_nothing", "sync/semaphore.c", "  lmp_owe(me, 0, pos_word(s));\n  do {", "  do {",
    chaos = "sem semaphore" },
  { "chaos_bounded_reaper_silent", "sync/bounded.c", "  tell(me, b, INT32_MAX);\n", "", chaos = "sem bounded" },
  { "chaos_wakes_not_paid", "arena/reap.c", "    wake_all(a, lmp_load_acq32(&c->cx_pwake[i]));\n", "",
    chaos = "sem event" },
}

local core = { "arena/arena", "arena/bell", "arena/block", "arena/collect", "arena/lock", "arena/member",
  "arena/object", "arena/reap", "arena/span", "arena/tx", "arena/wait", "channel/array",
  "channel/bulk", "channel/dict", "channel/dict_clear", "channel/dict_hold", "channel/dict_write", "channel/elem",
  "channel/entry",
  "channel/list", "channel/shared", "channel/slots", "channel/pipe", "channel/queue",
  "channel/queue_get", "channel/queue_put", "sync/barrier", "sync/bell", "sync/bounded", "sync/condition",
  "sync/event", "sync/lock", "sync/semaphore", "sync/wait_any" }

local function run(fmt, ...)
  local command = string.format(fmt, ...)
  if not os.execute(command) then error("failed: " .. command) end
end

local function read(path)
  local f <close> = assert(io.open(path))
  return f:read("a")
end

local function write(path, text)
  local f <close> = assert(io.open(path, "w"))
  f:write(text)
end

-- Replaces the only occurrence, however its lines are broken.
local function replace(text, old, new, name)
  local pattern = old:gsub("%p", "%%%0"):gsub("%s+", "%%s*")
  local from, to = text:find(pattern)
  if not from then error(name .. ": the text to replace is not there:\n" .. old) end
  if text:find(pattern, to + 1) then error(name .. ": the text to replace is there twice:\n" .. old) end
  return text:sub(1, from - 1) .. new .. text:sub(to + 1)
end

local keep, wanted = false, {}
for _, a in ipairs(arg) do
  if a == "-k" then keep = true else wanted[a] = true end
end

-- What all mutants share: the machinery, and the core without mutation.
local crash = root .. "/tests/crash"
local instrumented = CC .. " -std=gnu11 -D_GNU_SOURCE -O1 -w -fsanitize=thread -DLUAMP_TESTING=1"
  .. " -Dmemcpy=sim_memcpy -Dmemset=sim_memset -Dpthread_mutex_lock=sim_mutex"
  .. " -Dpthread_mutex_unlock=sim_mutex"
local plain = CC .. " -std=gnu11 -D_GNU_SOURCE -O2 -w -DLUAMP_TESTING=1"

run("mkdir -p %s/base", top)
local rules = { "all:" }
local function rule(target, needs, command)
  rules[#rules + 1] = target .. ": " .. needs .. "\n\t@" .. command
end

local machinery = {}
for _, f in ipairs { "sim", "sim_tsan", "check", "world", "scenes", "scenes_array", "scenes_dict", "scenes_lock",
  "scenes_pipe", "scenes_sem", "scenes_wait", "explore" } do
  local o = string.format("%s/base/x_%s.o", top, f)
  machinery[#machinery + 1] = o
  -- What these players do is in the core's headers.
  local how = f == "scenes_lock" and instrumented or plain
  rule(o, "", string.format("%s -I%s/runtime -c %s/%s.c -o %s", how, root, crash, f, o))
end
local function object(dir, include, f, kind)
  local o = string.format("%s/%s_%s.o", dir, kind, f:gsub("/", "_"))
  rule(o, "", string.format("%s -I%s -c %s/%s.c -o %s", kind == "sim" and instrumented or plain, include,
    include, f, o))
  return o
end
local system, step = {}, {}
for _, f in ipairs { "base/debug", "base/err", "os/linux_bell", "os/linux_futex", "os/linux_life", "os/linux_memory",
  "os/linux_process" } do
  system[#system + 1] = object(top .. "/base", root .. "/runtime", f, "real")
end
for _, f in ipairs { "step_kill", "step_sync", "step_pipe", "check", "chaos_lock", "chaos_sem", "kill_at" } do
  local o = string.format("%s/base/s_%s.o", top, f)
  if not f:find("^chaos") and f ~= "kill_at" then step[#step + 1] = o end
  rule(o, "", string.format("%s -I%s/runtime -c %s/%s.c -o %s", plain, root, crash, f, o))
end
local base = { sim = {}, real = {} }
for kind, list in pairs(base) do
  for _, f in ipairs(core) do list[f] = object(top .. "/base", root .. "/runtime", f, kind) end
end

local names = {}
for _, m in ipairs(mutants) do
  local name, file = m[1], m[2]
  if not next(wanted) or wanted[name] then
    names[#names + 1] = name
    local dir = top .. "/" .. name
    run("mkdir -p %s/src && cp -r %s/runtime/* %s/src", dir, root, dir)
    local text = read(root .. "/runtime/" .. file)
    for i = 3, #m, 2 do text = replace(text, m[i], m[i + 1], name) end
    write(dir .. "/src/" .. file, text)
    local sim, real = { table.unpack(machinery) }, { table.unpack(system) }
    for _, f in ipairs(core) do
      local touched = file == f .. ".c" or file:find("%.h$")
      sim[#sim + 1] = touched and object(dir, dir .. "/src", f, "sim") or base.sim[f]
      real[#real + 1] = touched and object(dir, dir .. "/src", f, "real") or base.real[f]
    end
    rules[#rules + 1] = "all: " .. dir .. "/result"
    local link = CC .. " -no-pie -o " .. dir
    rule(dir .. "/explore", table.concat(sim, " "), link .. "/explore " .. table.concat(sim, " "))
    local objects = table.concat(real, " ")
    local scenes = m.scenes or file:match("^sync/(%w+)%.c$") or file:match("/(pipe)%.c$") or ""
    local linked = CC .. " -o " .. dir .. "/%s " .. objects .. " %s -lpthread"
    rule(dir .. "/step_kill", objects .. " " .. table.concat(step, " "),
      linked:format("step_kill", table.concat(step, " ")))
    if m.chaos then
      local program, what = m.chaos:match("(%w+) (%w+)")
      local o = string.format("%s/base/s_chaos_%s.o %s/base/s_kill_at.o", top, program, top)
      rule(dir .. "/chaos", objects .. " " .. o, linked:format("chaos", o))
      rule(dir .. "/result", dir .. "/chaos", string.format("if timeout 300 %s/chaos --kills 10000 --stall 3 %s "
        .. ">%s/out 2>&1; s=$$?; [ $$s -eq 1 ]; then echo chaos >$@; else echo survived >$@; fi", dir, what, dir))
    else
      rule(dir .. "/result", dir .. "/explore",
        string.format("if timeout 300 %s/explore -f -p '%s' >%s/out 2>&1; s=$$?; [ $$s -ne 0 ] && [ $$s -ne 124 ]; "
          .. "then echo explorer >$@; "
          .. "elif $(MAKE) -s -f %s/Makefile %s/step_kill && { timeout 300 %s/step_kill >>%s/out 2>&1; s=$$?; "
          .. "[ $$s -ne 0 ] && [ $$s -ne 124 ]; }; then echo step_kill >$@; else echo survived >$@; fi",
          dir, scenes, dir, top, dir, dir, dir))
    end
  end
end
write(top .. "/Makefile", table.concat(rules, "\n") .. "\n")
run("make -s -j%d -f %s/Makefile all", jobs, top)

local survived = 0
for _, name in ipairs(names) do
  local result = read(top .. "/" .. name .. "/result"):gsub("%s+$", "")
  local first = read(top .. "/" .. name .. "/out"):match("[^\n]*: [^\n]*") or ""
  print(string.format("%-28s %-9s %s", name, result, result == "survived" and "" or first:sub(1, 90)))
  if result == "survived" then survived = survived + 1 end
end
print(string.format("%d mutants, %d survived", #names, survived))
if not keep then run("rm -rf %s", top) end
os.exit(survived == 0 and 0 or 1)
