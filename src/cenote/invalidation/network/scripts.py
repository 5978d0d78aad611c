"""The scripts that run at the server, each in one step.

One hash holds all that decides what is valid, so that whatever loses some of it loses all: the incarnation and the
identity of the server that it was made at, the head, the recent records, the floors of the services and of recent keys,
the members. The floors of tags lie in a second hash whose length the first one knows. A script that finds the identity
changed, or either hash incomplete, begins a new incarnation: all that was cached is forgotten.

Both are kept for a week from when they are made, and from each renewal; the second one from each floor too. Why no end
of that breaks the promise, however early: a hash that is gone is an incomplete one, as if it had been evicted.

Fields of the first hash, ``{seq}`` standing for a number and ``{cache}`` for a name ("" is the global cache):

========================  ==============================================================================
inc, id                   incarnation; run_id and master_replid of the server
head, low                 last sequence; how far records are no longer kept
mature                    "1" once somebody has seen this incarnation for as long as any lease may last
members                   packed: member -> {number of its last renewal, acknowledged sequence, milliseconds for
                          which it may serve copies unverified after its lease}
renewals                  how many renewals there were: no number comes twice
past                      incarnations that ended before this one, each of 32 letters
lease                     milliseconds of the longest leases that a member takes
syncs                     how many replicas the server had given all that it has when the incarnation began
replicas                  the most replicas that the server was seen to have; outlives incarnations, not the server
rung                      "1" once the bell has rung for a set since the last renewal
names                     packed: the services that have a record or a value; n:{cache} is set for each
g:{shard}                 the seal of a shard of a cluster, see ``spread_scripts``
h*, s*                    sequence of the last hard or soft clear of everything
h:{cache}, s:{cache}      the same of a service
t:{cache}                 sequence of its last invalidation by tags or a prefix
r:{seq}, f:{seq}          a record; the name of the floor that a record of a key raised
k:{cache} NUL {key}       sequence of the last hard invalidation of a key, as long as its record is kept
p:{cache}                 packed: prefixes that were invalidated, {prefix, sequence, soft}
done, o:{number}          how many invalidations there were; the name of each of the last of them
d:{name}                  packed: what was answered to it, {sequence, generation before, live entries, sample, exact}
tags                      the length of the second hash
========================  ==============================================================================
"""

from __future__ import annotations

from typing import Final

from cenote.invalidation.network.index_scripts import INDEXES, KEPT_MS

__all__ = [
    "ACK",
    "EXPEL",
    "HEAD",
    "MATURE",
    "MEMBERS",
    "PRELUDE",
    "RECORD",
    "RECORDS_KEPT",
    "RENEW",
    "SET_BELL",
]

SET_BELL: Final = b"set"
"""What the doorbell says when a value was set. For what somebody may wait for, it says the record; see ``heard``."""

RECORDS_KEPT: Final = 8192
"""How many records the server keeps; a machine that missed more forgets everything."""

TAGS_KEPT: Final = 10_000
"""How many tags have floors; one more clears everything, which is allowed, and makes room."""

PREFIXES_KEPT: Final = 64
"""How many prefixes of a service have floors; one more clears the service."""

MOST_RECORDS: Final = 1000
"""How many records one renewal hands over; a machine that missed more forgets everything."""

_DONE_KEPT: Final = 128
"""How many answers are kept for those who send an invalidation again because its answer was lost."""

_SAMPLE_KEPT: Final = 1000
"""How many identifiers of what it took such an answer has."""

_PAST_KEPT: Final = 64
"""How many incarnations that ended an incarnation knows of."""

PRELUDE: Final = f"""
local log, tags = KEYS[1], KEYS[2]
local function number(text) return tonumber(text or 0) or 0 end
local function unpacked(text) if text then return cmsgpack.unpack(text) end return {{}} end
local function identity()
    local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
    local replication = redis.call('INFO', 'replication')
    local id = run .. (string.match(replication, 'master_replid:(%x+)') or '')
    return id, number(string.match(replication, 'connected_slaves:(%d+)'))
end
-- A replica that comes with other data than its master's is given all anew: it may have been the master meanwhile.
local function syncs() return string.match(redis.call('INFO', 'stats'), 'sync_full:(%d+)') or '' end
local function begin(candidate, past, id, replicas)
    redis.call('UNLINK', log, tags)
    redis.call('HSET', log, 'inc', candidate, 'id', id, 'head', 0, 'low', 0, 'tags', 0)
    redis.call('HSET', log, 'past', string.sub(past, 1, {_PAST_KEPT} * 32), 'replicas', replicas, 'syncs', syncs())
    redis.call('PEXPIRE', log, {KEPT_MS})
end
local function incarnation(candidate, known)
    local id, replicas = identity()
    local kept = redis.call('HMGET', log, 'inc', 'id', 'tags', 'past', 'replicas', 'syncs')
    local past = (kept[1] or '') .. (kept[4] or '')
    local descends = known == '' or string.find(past, known, 1, true)
    local same = kept[2] == id and (not kept[6] or kept[6] == syncs())
    if kept[1] and same and descends and redis.call('HLEN', tags) == number(kept[3]) then return kept[1], replicas end
    begin(candidate, (descends and '' or known) .. past, id, kept[2] == id and number(kept[5]) or 0)
    return candidate, replicas
end
local function add_name(cache)
    if redis.call('HEXISTS', log, 'n:' .. cache) == 1 then return end
    local names = unpacked(redis.call('HGET', log, 'names'))
    names[#names + 1] = cache
    redis.call('HSET', log, 'names', cmsgpack.pack(names), 'n:' .. cache, '1')
end
local function floor(kind, cache)
    local found = redis.call('HMGET', log, kind .. '*', kind .. ':' .. cache)
    return math.max(number(found[1]), number(found[2]))
end
local function outdated(cache, key, birth, at)
    local kept = redis.call('HMGET', log, 'low', 'k:' .. cache .. '\\0' .. key, 'p:' .. cache)
    if birth < number(kept[1]) or number(kept[2]) > birth then return true end
    for _, each in ipairs(unpacked(kept[3])) do
        if each[2] > birth and string.sub(key, 1, #each[1]) == each[1] then return true end
    end
    for at = at, #ARGV do
        local raised = redis.call('HMGET', tags, 'h:' .. cache .. '\\0' .. ARGV[at], 's:' .. cache .. '\\0' .. ARGV[at])
        if math.max(number(raised[1]), number(raised[2])) > birth then return true end
    end
    return false
end
"""

RENEW: Final = (
    PRELUDE
    + f"""
local candidate, member, known, applied = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local inc, replicas = incarnation(candidate, known)
local most = number(redis.call('HGET', log, 'replicas'))
if replicas > most then redis.call('HSET', log, 'replicas', replicas) else replicas = most end
if number(ARGV[5]) > number(redis.call('HGET', log, 'lease')) then redis.call('HSET', log, 'lease', ARGV[5]) end
local renewals = redis.call('HINCRBY', log, 'renewals', 1)
redis.call('HDEL', log, 'rung')
local members, several = unpacked(redis.call('HGET', log, 'members')), 0
if member ~= '' then
    local own = members[member] or {{0, 0}}
    members[member] = {{renewals, own[2], tonumber(ARGV[6])}}
    redis.call('HSET', log, 'members', cmsgpack.pack(members))
end
for _ in pairs(members) do several = several + 1 end
redis.call('PEXPIRE', log, {KEPT_MS})
redis.call('PEXPIRE', tags, {KEPT_MS})
local state = redis.call('HMGET', log, 'head', 'low', 'mature')
local head = number(state[1])
local mature = state[3] == '1' and 1 or 0
if known == inc and applied <= head and applied >= number(state[2]) and head - applied <= {MOST_RECORDS} then
    if head == applied then return {{inc, head, mature, replicas, renewals, 1, {{}}, several}} end
    local fields = {{}}
    for sequence = applied + 1, head do fields[#fields + 1] = 'r:' .. sequence end
    return {{inc, head, mature, replicas, renewals, 1, redis.call('HMGET', log, unpack(fields)), several}}
end
local floors = {{number(redis.call('HGET', log, 'h*')), number(redis.call('HGET', log, 's*'))}}
for _, name in ipairs(unpacked(redis.call('HGET', log, 'names'))) do
    local found = redis.call('HMGET', log, 'h:' .. name, 's:' .. name, 't:' .. name)
    for _, each in ipairs({{name, number(found[1]), number(found[2]), number(found[3])}}) do
        floors[#floors + 1] = each
    end
end
return {{inc, head, mature, replicas, renewals, 0, floors, several}}
"""
)
"""Register a member, and return incarnation, head, whether it is mature, the most replicas that the server ever had in
it, the number of this renewal, records, or floors after a gap, and how many members there are.

A member that comes from an incarnation that this one does not descend from was at another server meanwhile, of whose
invalidations nothing is known here: a new incarnation begins.

Arguments: a new incarnation in case one begins, the member, "" to register none, the incarnation and the sequence that
it has, the milliseconds of its leases, and those for which it may serve copies unverified after one.
"""

ACK: Final = (
    PRELUDE
    + """
local inc, member, sequence = ARGV[1], ARGV[2], tonumber(ARGV[3])
local kept = redis.call('HMGET', log, 'inc', 'members', 'syncs')
if kept[1] ~= inc or not kept[2] or kept[3] ~= syncs() then return 0 end
local members = cmsgpack.unpack(kept[2])
local own = members[member]
if not own then return 0 end
if sequence > own[2] then
    members[member] = {own[1], sequence, own[3]}
    redis.call('HSET', log, 'members', cmsgpack.pack(members))
end
return 1
"""
)
"""Note that a member's machine obeys all records up to a sequence. Arguments: incarnation, member, sequence."""

MATURE: Final = """
if redis.call('HGET', KEYS[1], 'inc') ~= ARGV[1] then return 0 end
return redis.call('HSET', KEYS[1], 'mature', '1')
"""
"""Mark an incarnation mature. Argument: the incarnation."""

MEMBERS: Final = (
    PRELUDE
    + """
local kept = redis.call('HMGET', log, 'inc', 'members', 'syncs')
if not kept[1] or kept[3] ~= syncs() then return {'', {}} end
local found = {}
for member, own in pairs(kept[2] and cmsgpack.unpack(kept[2]) or {}) do
    found[#found + 1] = {member, own[1], own[2], own[3] or 0}
end
return {kept[1], found}
"""
)
"""Return the incarnation, "" when a new one is due, and each member with its renewals, the sequence that it
acknowledged, and for how many milliseconds after its lease it may serve copies unverified."""

EXPEL: Final = """
local log = KEYS[1]
local kept = redis.call('HMGET', log, 'inc', 'members')
if kept[1] ~= ARGV[1] or not kept[2] then return 0 end
local members = cmsgpack.unpack(kept[2])
local own = members[ARGV[2]]
if not own or own[1] ~= tonumber(ARGV[3]) then return 0 end
members[ARGV[2]] = nil
redis.call('HSET', log, 'members', cmsgpack.pack(members))
return 1
"""
"""Remove a member that has not renewed since. Arguments: incarnation, member, its renewals then."""

HEAD: Final = (
    PRELUDE
    + """
local kept = redis.call('HMGET', log, 'inc', 'id', 'head', 'tags', 'replicas')
local id, replicas = identity()
if not kept[1] or kept[2] ~= id or redis.call('HLEN', tags) ~= number(kept[4]) then kept[1] = '' end
return {kept[1], number(kept[3]), math.max(replicas, number(kept[5]))}
"""
)
"""Return incarnation, head and the most replicas that the server was seen to have; "" when a new incarnation is due."""

RECORD: Final = (
    PRELUDE
    + INDEXES
    + f"""
local value = KEYS[3]
if value == log then value = '' end
local candidate, known, generation = ARGV[1], ARGV[2], tonumber(ARGV[3])
local kind, soft, cache = ARGV[4], ARGV[5] == '1', ARGV[6]
local body, everything, most = ARGV[7], ARGV[8], tonumber(ARGV[9])
local payload, milliseconds, ends, count = ARGV[10], ARGV[11], ARGV[12], tonumber(ARGV[13])
local name = 'd:' .. ARGV[16 + count]
local set = payload ~= '' or milliseconds == '-2'
local inc, replicas = incarnation(candidate, known)
local function answer(sequence, before, live, sample, exact)
    local members = {{}}
    -- Nobody waits until others have learned of a set.
    for member, own in pairs(not set and unpacked(redis.call('HGET', log, 'members')) or {{}}) do
        members[#members + 1] = {{member, own[1], own[2], own[3] or 0}}
    end
    local kept = redis.call('HMGET', log, 'mature', 'lease', 'replicas')
    local most = math.max(replicas, number(kept[3]))
    return {{inc, sequence, before, kept[1] == '1' and 1 or 0, live, sample, members, number(kept[2]), most, exact}}
end
local done = redis.call('HGET', log, name)
if done then
    redis.call('HSET', log, name, done)
    return answer(unpack(cmsgpack.unpack(done)))
end
local before = floor('h', cache)
if (value ~= '' or kind == 'clear') and (inc ~= known or before ~= generation)
    or payload ~= '' and outdated(cache, ARGV[14], tonumber(ARGV[15 + count]), 17 + count) then
    return {{inc, 0, before, number(redis.call('HGET', log, 'head'))}}
end
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local sequence = redis.call('HINCRBY', log, 'head', 1)
local scoped = kind == 'tags' or kind == 'prefix'
local live, sample, exact = 0, {{}}, redis.call('EXISTS', opening .. 'covered') == 0
local function place_of(name) return string.sub(inc, 1, 16) .. ':' .. name .. ':' .. floor('h', name) end
local place, counted = place_of(cache), true
local function forget(name)
    local index = by_end(place_of(name))
    live = live + redis.call('ZCOUNT', index, now, '+inf')
    if #sample < most then
        for _, each in ipairs(redis.call('ZRANGEBYSCORE', index, now, '+inf', 'LIMIT', 0, most - #sample)) do
            sample[#sample + 1] = each
        end
    end
    if soft then return end
    redis.call('LPUSH', opening .. 'garbage', place_of(name))
    redis.call('PEXPIRE', opening .. 'garbage', {KEPT_MS})
end
if kind ~= 'clear_all' then add_name(cache) end
if kind == 'key' and value ~= '' then
    if not soft then
        local raised = 'k:' .. cache .. '\\0' .. ARGV[14]
        redis.call('HSET', log, raised, sequence, 'f:' .. sequence, raised)
    end
    live = redis.call('EXISTS', value)
    if milliseconds == '-1' then
        live = 0
    elseif payload ~= '' then
        keep(place, ARGV[14], struct.pack('>I8', sequence + 1) .. payload, milliseconds, ends, 17 + count)
    elseif soft and live == 1 then
        redis.call('SETRANGE', value, 0, struct.pack('>I8', 0))
    elseif live == 1 then
        take_out(place, ARGV[14])
    end
elseif kind == 'tags' then
    local mark = (soft and 's:' or 'h:') .. cache .. '\\0'
    for at = 14, 13 + count do redis.call('HSET', tags, mark .. ARGV[at], sequence) end
    live, sample, counted = count_tagged(place, 14, 13 + count, now, most)
    if not soft then drop_tagged(place, 14, 13 + count, sequence) end
    local kept = redis.call('HLEN', tags)
    if kept > {TAGS_KEPT} then
        redis.call('UNLINK', tags)
        kept = 0
        kind, soft, body = 'clear_all', false, everything
    end
    redis.call('PEXPIRE', tags, {KEPT_MS})
    redis.call('HSET', log, 'tags', kept)
elseif kind == 'prefix' then
    live, sample, counted = count_named(place, ARGV[14], now, most)
    if not soft then drop_named(place, ARGV[14], live, sequence) end
    local prefixes = {{}}
    for _, each in ipairs(unpacked(redis.call('HGET', log, 'p:' .. cache))) do
        if each[2] > before and not (each[1] == ARGV[14] and each[3] == soft) then prefixes[#prefixes + 1] = each end
    end
    prefixes[#prefixes + 1] = {{ARGV[14], sequence, soft}}
    if #prefixes > {PREFIXES_KEPT} then
        kind, soft, body, prefixes = 'clear_all', false, everything, {{}}
    end
    redis.call('HSET', log, 'p:' .. cache, cmsgpack.pack(prefixes))
end
if kind == 'clear' then
    forget(cache)
    redis.call('HSET', log, (soft and 's:' or 'h:') .. cache, sequence)
elseif kind == 'clear_all' then
    for _, name in ipairs(unpacked(redis.call('HGET', log, 'names'))) do
        forget(name)
    end
    redis.call('HSET', log, soft and 's*' or 'h*', sequence)
end
redis.call('HSET', log, 'r:' .. sequence, body)
local old = sequence - {RECORDS_KEPT}
if old > 0 then
    local raised = redis.call('HGET', log, 'f:' .. old)
    if raised and number(redis.call('HGET', log, raised)) == old then redis.call('HDEL', log, raised) end
    redis.call('HDEL', log, 'r:' .. old, 'f:' .. old)
    redis.call('HSET', log, 'low', old)
end
-- Who heard a bell of a set renews behind it, and learns of all sets until then; the first renewal has it ring anew.
if not set then redis.call('PUBLISH', ARGV[14 + count], inc .. struct.pack('>I8', sequence) .. body)
elseif redis.call('HEXISTS', log, 'rung') == 0 then
    redis.call('HSET', log, 'rung', 1)
    redis.call('PUBLISH', ARGV[14 + count], '{SET_BELL.decode()}')
end
if scoped then redis.call('HSET', log, 't:' .. cache, sequence) end
exact = exact and counted and 1 or 0
if not set then
    local kept = {{unpack(sample, 1, math.min(#sample, {_SAMPLE_KEPT}))}}
    local last = redis.call('HINCRBY', log, 'done', 1)
    redis.call('HSET', log, name, cmsgpack.pack({{sequence, before, live, kept, exact}}), 'o:' .. last, name)
    local first = redis.call('HGET', log, 'o:' .. last - {_DONE_KEPT})
    if first then redis.call('HDEL', log, first, 'o:' .. last - {_DONE_KEPT}) end
end
return answer(sequence, before, live, sample, exact)
"""
)
"""Append a record, raise the floor that goes with it, and keep the value that it comes with.

Keys: both hashes, the value (the first hash once more for none), and the indexes of its generation by end and by name.

Arguments: a new incarnation in case one begins; incarnation and generation that the names carry; kind, whether soft,
cache; the record, and the one of a clear of everything in case there is no room for its floor; how many identifiers to
return; the value, its milliseconds, -2 for a set whose value lies elsewhere, and its end; how many texts it covers, the
texts; the channel of the doorbell; the sequence that the caller knew of when it asked; a name of this invalidation; the
value's tags.

An invalidation whose name comes again was done: its answer was lost. It gets that answer once more, with the members of
now, and one write goes with it, for which replicas can be waited. The call that sent it began before the first time,
so what was loaded since is new enough to stay.

Returns incarnation, sequence and generation before. The sequence is 0 when nothing was done, and the head follows: a
value or a clear was meant for another generation, or a value is covered by a record that its sender did not know of.
Else such a value could bring back what was invalidated after its sender had given up. Otherwise whether the incarnation
is mature follows, how many live entries went, identifiers of some, the members, the milliseconds of the longest leases,
the most replicas that the server was seen to have, and whether the number of entries is exact: what an earlier
invalidation by tags or a prefix has not given back yet may have been counted once more.
"""
