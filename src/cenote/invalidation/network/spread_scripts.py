"""The scripts of a namespace whose entries are spread over a cluster, each one step in one slot.

Each shard has one hash, its **guard**, which tells whether what lies beside it may be believed:

========================  ==============================================================================
inc, seal                 the incarnation of the log that it serves; a text that its maker made up
id                        run_id and master_replid of the server that it was made at
f:{cache} NUL {key}       floor: sequence of the last hard invalidation of a key, as long as it is kept
raised, r:{number}        how many floors were raised; the sequence and the field of each
low                       sequence; how far floors are no longer kept
========================  ==============================================================================

The log knows the seal of each guard, and one seal for each shard in an incarnation. So there is one memory whose
entries count, the one that the guard was made in, and it has forgotten nothing since: else its guard would be gone, or
its identity another one. A guard that does not fit is a loss, which begins a new incarnation.

A key is invalidated in three steps: its shard takes the value out and refuses others for now; the log gets the record;
its shard raises the floor to the record's sequence and goes on. Who has obeyed the record, and then finds a value,
found one that was stored after the floor was raised.
"""

from __future__ import annotations

from typing import Final

from cenote.invalidation.network.scripts import KEPT_MS, PRELUDE

__all__ = ["CLOSE", "KEEP", "MAKE", "NAME", "NAMES", "OPEN", "PLACE", "REGISTER", "SEE", "STANDING"]

FLOORS_KEPT: Final = 1024
"""How many floors of keys a shard keeps; a load that began before the last one that is not kept is not stored."""

_CHANGE_MS: Final = 10_000
"""How long loads of a key are refused whose invalidation was begun and not ended."""

_GUARD: Final = """
local guard = KEYS[1]
local function number(text) return tonumber(text or 0) or 0 end
local function identity()
    local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
    return run .. (string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or '')
end
local function fits(inc, seal)
    local kept = redis.call('HMGET', guard, 'inc', 'seal', 'id')
    return kept[1] == inc and kept[2] == seal and kept[3] == identity()
end
"""

SEE: Final = (
    _GUARD
    + f"""
if not fits(ARGV[1], ARGV[2]) then return 0 end
return redis.call('PEXPIRE', guard, {KEPT_MS})
"""
)
"""Return whether the guard is what the log knows, which keeps it. Arguments: incarnation, seal."""

MAKE: Final = (
    _GUARD
    + f"""
local kept = redis.call('HMGET', guard, 'inc', 'seal', 'id')
local id = identity()
if kept[1] == ARGV[1] and kept[3] == id then return kept[2] end
redis.call('UNLINK', guard)
redis.call('HSET', guard, 'inc', ARGV[1], 'seal', ARGV[2], 'id', id)
redis.call('PEXPIRE', guard, {KEPT_MS})
return ARGV[2]
"""
)
"""Make a guard, unless there is one that was made here for this incarnation; return the seal.

Arguments: incarnation, a new seal.
"""

OPEN: Final = (
    _GUARD
    + f"""
local changes, value, index, names = KEYS[2], KEYS[3], KEYS[4], KEYS[5]
if not fits(ARGV[1], ARGV[2]) then return -1 end
local mode, live = ARGV[5], redis.call('EXISTS', value)
redis.call('SADD', changes, ARGV[4])
redis.call('PEXPIRE', changes, {_CHANGE_MS})
if mode == 'leave' then return 0 end
if live == 0 then return 0 end
if mode == 'soften' then
    redis.call('SETRANGE', value, 0, struct.pack('>I8', 0))
else
    redis.call('UNLINK', value)
    redis.call('ZREM', index, ARGV[3])
    redis.call('ZREM', names, ARGV[3])
end
return 1
"""
)
"""Begin to invalidate a key: until it ends no load of the key is kept. Return 1 for a live value, 0 for none.

-1 is returned, and nothing done, where the guard is another one.

Keys: the guard, the changes of the key that are under way, its value, the indexes of its generation by end and by name.
Arguments: incarnation, seal; the identifier; a text that names this change; "take", "soften" or "leave" for the value.
"""

CLOSE: Final = (
    _GUARD
    + f"""
local changes, value, index, names = KEYS[2], KEYS[3], KEYS[4], KEYS[5]
if not fits(ARGV[1], ARGV[2]) then return -1 end
if redis.call('SREM', changes, ARGV[4]) == 0 then return 0 end
local field, sequence = ARGV[5], tonumber(ARGV[6])
local floor = number(redis.call('HGET', guard, field))
if sequence > floor then
    floor = sequence
    local raised = redis.call('HINCRBY', guard, 'raised', 1)
    redis.call('HSET', guard, field, ARGV[6], 'r:' .. raised, ARGV[6] .. ':' .. field)
    local old = 'r:' .. (raised - {FLOORS_KEPT})
    local kept = redis.call('HGET', guard, old)
    if kept then
        local last, which = string.match(kept, '^(%d+):(.*)$')
        if redis.call('HGET', guard, which) == last then redis.call('HDEL', guard, which) end
        redis.call('HDEL', guard, old)
        if number(last) > number(redis.call('HGET', guard, 'low')) then redis.call('HSET', guard, 'low', last) end
    end
end
redis.call('PEXPIRE', guard, {KEPT_MS})
if ARGV[7] == '' or floor ~= sequence or redis.call('EXISTS', changes) == 1 then return 1 end
redis.call('SET', value, struct.pack('>I8', sequence + 1) .. ARGV[7], 'PX', ARGV[8])
redis.call('ZADD', index, ARGV[9], ARGV[3])
redis.call('ZADD', names, 0, ARGV[3])
redis.call('PEXPIRE', index, {KEPT_MS})
redis.call('PEXPIRE', names, {KEPT_MS})
for at = 11, #ARGV do
    redis.call('ZADD', ARGV[10] .. ARGV[at], ARGV[9], ARGV[3])
    redis.call('PEXPIRE', ARGV[10] .. ARGV[at], {KEPT_MS})
end
return 2
"""
)
"""End what ``OPEN`` began: raise the floor of the key, and keep the value that it is set to.

Return 2 when the value is kept, 1 when there is none or somebody else changes the key too; 0 when loads may have been
kept meanwhile, since nothing is known of this change any more; -1 where the guard is another one.

Keys as for ``OPEN``. Arguments: incarnation, seal; the identifier; the change; the field of the floor, and its
sequence, 0 for none; the value, its milliseconds and its end; how the names of the generation's indexes by tag begin,
its tags.
"""

KEEP: Final = (
    _GUARD
    + f"""
local changes, value, index, names = KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local birth = tonumber(ARGV[4])
local kept = redis.call('HMGET', guard, 'inc', 'seal', 'low', ARGV[5])
if kept[1] ~= ARGV[1] or kept[2] ~= ARGV[2] then return -1 end
if birth < number(kept[3]) or birth < number(kept[4]) or redis.call('EXISTS', changes) == 1 then return 0 end
redis.call('SET', value, struct.pack('>I8', birth + 1) .. ARGV[6], 'PX', ARGV[7])
redis.call('ZADD', index, ARGV[8], ARGV[3])
redis.call('ZADD', names, 0, ARGV[3])
redis.call('PEXPIRE', guard, {KEPT_MS})
redis.call('PEXPIRE', index, {KEPT_MS})
redis.call('PEXPIRE', names, {KEPT_MS})
for at = 10, #ARGV do
    redis.call('ZADD', ARGV[9] .. ARGV[at], ARGV[8], ARGV[3])
    redis.call('PEXPIRE', ARGV[9] .. ARGV[at], {KEPT_MS})
end
return 1
"""
)
"""Keep a loaded value, unless its key was invalidated since its birth; return 1 if it is kept, -1 as ``OPEN`` does.

Keys as for ``OPEN``. Arguments: incarnation, seal; the identifier; the birth; the field of the floor; the value, its
milliseconds and its end; how the names of the generation's indexes by tag begin, its tags.
"""

# What follows runs beside the log.

_IN_FORCE: Final = (
    PRELUDE
    + """
local kept = redis.call('HMGET', log, 'inc', 'id', 'tags', 'past', 'replicas')
local id = identity()
local in_force = kept[1] == ARGV[1] and kept[2] == id and redis.call('HLEN', tags) == number(kept[3])
"""
)

STANDING: Final = (
    _IN_FORCE
    + """
if not in_force then return {0, ''} end
return {1, redis.call('HGET', log, 'g:' .. ARGV[2]) or ''}
"""
)
"""Return whether an incarnation is in force, and the seal of a shard in it, "" for none. Arguments: both."""

REGISTER: Final = (
    _IN_FORCE
    + """
if not in_force then return 0 end
local field = 'g:' .. ARGV[2]
local seal = redis.call('HGET', log, field)
if not seal then redis.call('HSET', log, field, ARGV[3]) end
if not seal or seal == ARGV[3] then return 1 end
begin(ARGV[4], kept[1] .. (kept[4] or ''), id, number(kept[5]))
redis.call('PUBLISH', ARGV[5], 0)
return -1
"""
)
"""Note the seal of a shard; return 1, or 0 when the incarnation is not in force.

Where the shard has another seal its entries were lost, or lie elsewhere: a new incarnation begins, and -1 is returned.

Arguments: the incarnation, the shard, its seal; a new incarnation; the channel of the doorbell.
"""

PLACE: Final = (
    PRELUDE
    + """
local inc = incarnation(ARGV[1], '')
return {inc, floor('h', ARGV[2]), number(redis.call('HGET', log, 'head'))}
"""
)
"""Return the incarnation in force, a cache's generation in it, and the head.

Arguments: a new incarnation in case one begins, the cache.
"""

NAME: Final = (
    PRELUDE
    + """
if redis.call('HGET', log, 'inc') ~= ARGV[1] then return 0 end
add_name(ARGV[2])
return 1
"""
)
"""Note that a cache has values. Arguments: the incarnation, the cache."""

NAMES: Final = (
    PRELUDE
    + """
local found = {}
if redis.call('HGET', log, 'inc') ~= ARGV[1] then return found end
for _, name in ipairs(unpacked(redis.call('HGET', log, 'names'))) do found[#found + 1] = {name, floor('h', name)} end
return found
"""
)
"""Return each cache that has a record or a value, and its generation. Argument: the incarnation."""
