-- luacheck for everything Lua in the house: the module, the scripts, the tests.
std = "luajit"
max_line_length = 140
codes = true

-- worker.lua replaces these for scripts: print goes to the log, coroutines let waits of the job pass through them.
files["lua/skein/worker.lua"] = {
  globals = { "print", "coroutine.resume", "coroutine.wrap", "coroutine.yield", "coroutine.running" },
}

-- Scripts that run inside Redis are put together from parts (core/store/redis/embed_scripts.lua), so a part uses names that another one
-- declares: all of these, and no others.
stds.redis = {
  read_globals = { "KEYS", "ARGV", "redis", "struct" },
  globals = {
    -- lib/frame.lua
    "call", "HEAD", "JOBS", "HELD", "LEASES", "ENGINES", "QUEUES", "COUNTS", "NOTES", "FENCES",
    "STOPS", "LOGS", "LOCKS", "EXPIRES", "BOUNDS", "GROUPS", "LINES", "PLACES", "RING", "TOKENS", "argi", "now", "mark_left",
    -- lib/queues.lua, lib/unknown.lua
    "names", "queues_n", "index_of", "base_of", "register", "unknown_queue", "knows_all_queues",
    -- lib/value.lua, lib/before.lua, lib/record.lua
    "ENQUEUED", "ATTEMPTS", "CRASHES", "UNKNOWNS", "RECOVERIES", "FINISHED", "record_edit", "enqueued_anew", "record_text",
    "u64", "body_of", "body_ends", "queue_of", "queue_in", "is_value", "body_in", "later_member", "before",
    -- lib/names.lua, lib/bury.lua
    "is_name", "NAME_BYTES_MAX", "ID_BYTES_MAX", "bury",
    -- lib/add.lua, lib/engine.lua, lib/walk.lua
    "add", "add_ready", "wake", "tell", "tell_all", "woken", "walk", "filter_queue", "filter_task", "list_first",
    -- lib/uses.lua, lib/bucket.lua, lib/bound.lua, lib/lock.lua, lib/ties.lua
    "has_notes", "has_stops", "has_locks", "has_groups", "has_bounds", "now_us", "token_us", "clamp_bucket", "take_tokens", "tokens_left", "digits",
    "bound_of", "jobs_in", "waiting_in", "bound_slot", "holder_said", "holder_of", "unlock", "lock_take", "untie",
    -- lib/group.lua, lib/belong.lua
    "seq_number", "seqs_begin", "seqs_end", "call_many", "groups_read", "lines_at", "of_group", "group_grow", "fifo_place",
    "groups", "unsaved", "set_numbers", "popped_field", "seq_next", "named", "line_of", "group_of", "save_groups", "group_update", "line_in", "line_out", "enter_line", "leave_line",
    "standing_in", "popped", "popped_of", "list_place", "last_place", "group_join", "membership", "slot_back", "group_forget", "leave_groups",
    "tokens_first", "tokens_due",
    -- lib/leave.lua, lib/admit.lua, lib/together.lua; count_state is the script's own
    "STATE", "leave", "sweep", "count_state", "lock_of", "limit_of", "reaches_unknown", "admit", "admit_text", "queue_index", "discard",
    "TOGETHER", "come_together", "past_of", "limit_now",
    -- lib/turns.lua
    "look_at", "least", "take_turns", "finish",
    -- lib/held.lua, lib/views.lua
    "FENCE_JOBS", "engine_of", "left_held", "leave_fences", "place_taken", "view", "holds", "notes",
    "logs", "stops",
  },
}
files["core/store/redis/scripts"] = { std = "lua51+redis", max_line_length = 160 }
-- It is a part of fetch.lua alone.
files["core/store/redis/scripts/lib/turns.lua"] = { globals = { "ready", "taken", "due_in", "due_of", "more_of", "n", "ids", "take_plain" } }
files["core/store/redis/scripts/lib"] = { std = "lua51+redis", max_line_length = 160, ignore = { "211", "221", "231", "241", "311" } }

-- A handler names what it is given, used or not.
files["scripts"] = { unused_args = false }
files["scripts/*/spec"] = { std = "+busted" }

files["tests"] = { std = "+busted", max_line_length = false }
