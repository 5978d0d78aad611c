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

Beside its guard a shard has values and their indexes, and what is still to be given back, as ``index_scripts`` says; a
hash i:{incarnation}:{cache}:{key} has the changes of a key that are under way, and whether each found a live value.
"""

from __future__ import annotations

from typing import Final

from cenote.invalidation.network.index_scripts import INDEXES, KEEPING, KEPT_MS
from cenote.invalidation.network.scripts import PRELUDE, SET_BELL

__all__ = [
    "CLOSE",
    "COUNT",
    "DROP",
    "KEEP",
    "MAKE",
    "NAME",
    "NAMES",
    "OPEN",
    "PLACE",
    "REAP",
    "REGISTER",
    "SEE",
    "STANDING",
]

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
    + INDEXES
    + f"""
local changes, value = KEYS[2], KEYS[3]
if not fits(ARGV[1], ARGV[2]) then return -1 end
local mode, live = ARGV[6], redis.call('EXISTS', value)
redis.call('HSETNX', changes, ARGV[5], mode == 'leave' and 0 or live)
redis.call('PEXPIRE', changes, {_CHANGE_MS})
if live == 1 and mode == 'soften' then redis.call('SETRANGE', value, 0, struct.pack('>I8', 0)) end
if live == 1 and mode == 'take' then take_out(ARGV[3], ARGV[4]) end
return tonumber(redis.call('HGET', changes, ARGV[5]))
"""
)
"""Begin to invalidate a key: until it ends no load of the key is kept. Return 1 for a live value, 0 for none.

-1 is returned, and nothing done, where the guard is another one. Sent again it says what it said.

Keys: the guard, the changes of the key that are under way, its value. Arguments: incarnation, seal; the place, the
identifier; a text that names this change; "take", "soften" or "leave" for the value.
"""

CLOSE: Final = (
    _GUARD
    + KEEPING
    + f"""
local changes, value = KEYS[2], KEYS[3]
if not fits(ARGV[1], ARGV[2]) then return -1 end
if redis.call('HDEL', changes, ARGV[5]) == 0 then return 0 end
local field, sequence = ARGV[6], tonumber(ARGV[7])
local floor = number(redis.call('HGET', guard, field))
if sequence > floor then
    floor = sequence
    local raised = redis.call('HINCRBY', guard, 'raised', 1)
    redis.call('HSET', guard, field, ARGV[7], 'r:' .. raised, ARGV[7] .. ':' .. field)
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
if ARGV[8] == '' or floor ~= sequence or redis.call('EXISTS', changes) == 1 then return 1 end
keep(ARGV[3], ARGV[4], struct.pack('>I8', sequence + 1) .. ARGV[8], ARGV[9], ARGV[10], 11)
return 2
"""
)
"""End what ``OPEN`` began: raise the floor of the key, and keep the value that it is set to.

Return 2 when the value is kept, 1 when there is none or somebody else changes the key too; 0 when loads may have been
kept meanwhile, since nothing is known of this change any more; -1 where the guard is another one.

Keys as for ``OPEN``. Arguments: incarnation, seal; the place, the identifier; the change; the field of the floor, and
its sequence, 0 for none; the value, its milliseconds and its end, its tags.
"""

KEEP: Final = (
    _GUARD
    + KEEPING
    + f"""
local changes, value, birth = KEYS[2], KEYS[3], tonumber(ARGV[5])
local kept = redis.call('HMGET', guard, 'inc', 'seal', 'low', ARGV[6])
if kept[1] ~= ARGV[1] or kept[2] ~= ARGV[2] then return -1 end
if birth < number(kept[3]) or birth < number(kept[4]) or redis.call('EXISTS', changes) == 1 then return 0 end
redis.call('PEXPIRE', guard, {KEPT_MS})
keep(ARGV[3], ARGV[4], struct.pack('>I8', birth + 1) .. ARGV[7], ARGV[8], ARGV[9], 10)
return 1
"""
)
"""Keep a loaded value, unless its key was invalidated since its birth; return 1 if it is kept, -1 as ``OPEN`` does.

Keys as for ``OPEN``. Arguments: incarnation, seal; the place, the identifier; the birth; the field of the floor; the
value, its milliseconds and its end, its tags.
"""

COUNT: Final = (
    INDEXES
    + """
local kind, most, place = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local live, sample, exact = 0, {}, redis.call('EXISTS', opening .. 'covered') == 0
local counted = true
if kind == 'tags' then
    live, sample, counted = count_tagged(place, 4, #ARGV, now, most)
elseif kind == 'prefix' then
    live, sample, counted = count_named(place, ARGV[4], now, most)
else
    for at = 3, #ARGV do
        local index = by_end(ARGV[at])
        live = live + redis.call('ZCOUNT', index, now, '+inf')
        if #sample < most then
            for _, each in ipairs(redis.call('ZRANGEBYSCORE', index, now, '+inf', 'LIMIT', 0, most - #sample)) do
                sample[#sample + 1] = each
            end
        end
    end
end
return {live, sample, exact and counted and 1 or 0}
"""
)
"""Return how many live entries of a shard an invalidation covers, identifiers of some, and whether that is exact.

Key: the guard, for its name. Arguments: the kind; how many identifiers; for tags or a prefix the place and these, else
all places.
"""

DROP: Final = (
    INDEXES
    + """
local kind, sequence, place = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if kind == 'tags' then
    drop_tagged(place, 4, #ARGV, sequence)
else
    drop_named(place, ARGV[4], redis.call('ZLEXCOUNT', by_name(place), span(ARGV[4], '')), sequence)
end
return redis.call('EXISTS', opening .. 'covered')
"""
)
"""Give back what tags or a prefix cover, once the log has their record; return 1 if some is left to ``GIVE_BACK``.

Why nothing is taken away that may be served: what was born behind the record is known by its birth, and stays.

Key: the guard, for its name. Arguments: the kind; the sequence of the record; the place, the tags or the prefix.
"""

REAP: Final = (
    INDEXES
    + """
local place = ARGV[2]
local names = redis.call('ZRANGE', by_end(place), 0, tonumber(ARGV[1]) - 1)
for _, name in ipairs(names) do take_out(place, name) end
if #names == 0 then redis.call('UNLINK', by_end(place), by_name(place)) end
return #names
"""
)
"""Take at most so many values of a place that was cleared out of a shard; return how many went.

Key: the guard, for its name. Arguments: how many; the place.
"""

# What follows runs beside the log.

_IN_FORCE: Final = (
    PRELUDE
    + """
local kept = redis.call('HMGET', log, 'inc', 'id', 'tags', 'past', 'replicas', 'syncs')
local id = identity()
local in_force = kept[1] == ARGV[1] and kept[2] == id and redis.call('HLEN', tags) == number(kept[3])
in_force = in_force and (not kept[6] or kept[6] == syncs())
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
    + f"""
if not in_force then return 0 end
local field = 'g:' .. ARGV[2]
local seal = redis.call('HGET', log, field)
if not seal then redis.call('HSET', log, field, ARGV[3]) end
if not seal or seal == ARGV[3] then return 1 end
begin(ARGV[4], kept[1] .. (kept[4] or ''), id, number(kept[5]))
redis.call('PUBLISH', ARGV[5], '{SET_BELL.decode()}')
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
