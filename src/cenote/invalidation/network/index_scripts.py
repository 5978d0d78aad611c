"""What scripts do with values and their indexes: keep one, count those that tags or a prefix cover, and give them back.

A place is an incarnation, a service and its generation. Keys of a place, ``{place}`` standing for its name:

====================  ==========================================================================================
v:{place}:{key}       a value: eight bytes, one more than its birth, 0 once it was softly cleared; a stored entry
e:{place}             its keys by the end of their time; n:{place} has them by name
t:{place}:{tag}       those that carry a tag, by end
x:...                 what was the index of a tag until the tag was invalidated
covered               what is still to be given back: {"t", place, sequence, index, tag} or {"p", place, sequence,
                      prefix, key looked at last}
garbage               the places that were cleared
====================  ==========================================================================================

Of a stored entry, version 1 of ``stores.stored``, scripts read its tags: the head ends 73 bytes behind the beginning of
the value, and has the number of tags and the length of the identifier behind its first byte.

Why nothing is taken away that was stored since: a script compares the birth of what stands there now with the sequence
of the invalidation, and looks whether that carries the tag, in one step with taking it out.
"""

from __future__ import annotations

from typing import Final

__all__ = ["GIVE_BACK", "INDEXES", "KEEPING", "KEPT_MS"]

KEPT_MS: Final = 7 * 24 * 3600 * 1000
"""Milliseconds after which the hash of a namespace that nobody renews is gone."""

AT_ONCE: Final = 100
"""How many entries an invalidation gives back itself; if it covers more, that is done in the background."""

COUNTED: Final = 1000
"""How many entries of several tags are looked at to count none of them twice; of more, an upper bound is said."""

KEEPING: Final = f"""
local opening = string.match(KEYS[1], '^.-}}:')
local function by_end(place) return opening .. 'e:' .. place end
local function by_name(place) return opening .. 'n:' .. place end
local function by_tag(place, tag) return opening .. 't:' .. place .. ':' .. tag end
local function value_at(place, key) return opening .. 'v:' .. place .. ':' .. key end
local function told(value)
    local head = redis.call('GETRANGE', value, 0, 255)
    if #head < 9 then return nil, {{}} end
    local found, count, length = {{}}, 0, 0
    if #head >= 73 and string.byte(head, 9) == 1 then count, length = struct.unpack('<I4I4', head, 10) end
    local at = 73 + length
    local function bytes(first, last)
        if last < #head then return string.sub(head, first + 1, last + 1) end
        return redis.call('GETRANGE', value, first, last)
    end
    for each = 1, count do
        local size = bytes(at, at + 3)
        if #size < 4 then break end
        size = struct.unpack('<I4', size)
        found[each] = bytes(at + 4, at + 3 + size)
        at = at + 4 + size
    end
    return struct.unpack('>I8', head) - 1, found
end
local function without(place, key, found)
    for _, tag in ipairs(found) do redis.call('ZREM', by_tag(place, tag), key) end
end
local function keep(place, key, value, milliseconds, ends, at)
    local name, ended, named = value_at(place, key), by_end(place), by_name(place)
    local birth, found = told(name)
    if birth then without(place, key, found) end
    redis.call('SET', name, value, 'PX', milliseconds)
    redis.call('ZADD', ended, ends, key)
    redis.call('ZADD', named, 0, key)
    redis.call('PEXPIRE', ended, {KEPT_MS})
    redis.call('PEXPIRE', named, {KEPT_MS})
    for at = at, #ARGV do
        local index = by_tag(place, ARGV[at])
        local over = redis.call('ZRANGEBYSCORE', index, '-inf', ends - milliseconds / 1000, 'LIMIT', 0, 2)
        if #over > 0 then redis.call('ZREM', index, unpack(over)) end
        redis.call('ZADD', index, ends, key)
        redis.call('PEXPIRE', index, {KEPT_MS})
    end
end
"""

INDEXES: Final = (
    KEEPING
    + f"""
local function take_out(place, key)
    local value = value_at(place, key)
    local _, found = told(value)
    without(place, key, found)
    redis.call('UNLINK', value)
    redis.call('ZREM', by_end(place), key)
    redis.call('ZREM', by_name(place), key)
end
local function give_back(place, key, sequence, tag)
    local birth, found = told(value_at(place, key))
    if birth and birth >= sequence then return end
    local carries = not birth or not tag
    for _, each in ipairs(found) do carries = carries or each == tag end
    if carries then take_out(place, key) end
end
local function to_do(...)
    redis.call('LPUSH', opening .. 'covered', cmsgpack.pack({{...}}))
    redis.call('PEXPIRE', opening .. 'covered', {KEPT_MS})
end
local function count_tagged(place, first, last, now, most)
    local live, sample, seen = 0, {{}}, {{}}
    for at = first, last do live = live + redis.call('ZCOUNT', by_tag(place, ARGV[at]), now, '+inf') end
    local whole = first < last and live <= {COUNTED}
    for at = first, last do
        local limit = whole and live or most - #sample
        if limit > 0 then
            local names = redis.call('ZRANGEBYSCORE', by_tag(place, ARGV[at]), now, '+inf', 'LIMIT', 0, limit)
            for _, name in ipairs(names) do
                if not seen[name] and #sample < most then sample[#sample + 1] = name end
                if seen[name] and whole then live = live - 1 end
                seen[name] = true
            end
        end
    end
    return live, sample, whole or first == last
end
local function drop_tagged(place, first, last, sequence)
    local all = 0
    for at = first, last do all = all + redis.call('ZCARD', by_tag(place, ARGV[at])) end
    for at = first, last do
        local index = by_tag(place, ARGV[at])
        if all <= {AT_ONCE} then
            for _, name in ipairs(redis.call('ZRANGE', index, 0, -1)) do give_back(place, name, sequence, ARGV[at]) end
            redis.call('UNLINK', index)
        elseif redis.call('EXISTS', index) == 1 then
            local aside = opening .. 'x:' .. place .. ':' .. sequence .. ':' .. at
            redis.call('RENAME', index, aside)
            to_do('t', place, sequence, aside, ARGV[at])
        end
    end
end
local function span(prefix, after)
    return after ~= '' and '(' .. after or '[' .. prefix, '[' .. prefix .. string.rep('\\255', 8)
end
local function count_named(place, prefix, now, most)
    local over = redis.call('ZRANGEBYSCORE', by_end(place), '-inf', '(' .. now, 'LIMIT', 0, {AT_ONCE} + 1)
    for at = 1, math.min(#over, {AT_ONCE}) do
        redis.call('ZREM', by_end(place), over[at])
        redis.call('ZREM', by_name(place), over[at])
    end
    local first, last = span(prefix, '')
    local sample = {{}}
    if most > 0 then sample = redis.call('ZRANGEBYLEX', by_name(place), first, last, 'LIMIT', 0, most) end
    return redis.call('ZLEXCOUNT', by_name(place), first, last), sample, #over <= {AT_ONCE}
end
local function drop_named(place, prefix, live, sequence)
    if live > {AT_ONCE} then return to_do('p', place, sequence, prefix, '') end
    local names = redis.call('ZRANGEBYLEX', by_name(place), span(prefix, ''))
    for _, name in ipairs(names) do give_back(place, name, sequence) end
end
"""
)

GIVE_BACK: Final = (
    INDEXES
    + f"""
local limit = tonumber(ARGV[1])
local raw = redis.call('RPOP', opening .. 'covered')
if raw then
    local kind, place, sequence, text, last = unpack(cmsgpack.unpack(raw))
    local names
    if kind == 't' then
        names = redis.call('ZRANGE', text, 0, limit - 1)
        for _, name in ipairs(names) do give_back(place, name, sequence, last) end
        if #names > 0 then redis.call('ZREMRANGEBYRANK', text, 0, #names - 1) end
    else
        local first, final = span(text, last)
        names = redis.call('ZRANGEBYLEX', by_name(place), first, final, 'LIMIT', 0, limit)
        for _, name in ipairs(names) do give_back(place, name, sequence) end
        last = names[#names]
    end
    if #names == limit then
        redis.call('RPUSH', opening .. 'covered', cmsgpack.pack({{kind, place, sequence, text, last}}))
        redis.call('PEXPIRE', opening .. 'covered', {KEPT_MS})
    end
    return math.max(#names, 1)
end
local place = redis.call('LINDEX', opening .. 'garbage', -1)
if not place then return 0 end
local names = redis.call('ZRANGE', by_end(place), 0, limit - 1)
for _, name in ipairs(names) do take_out(place, name) end
if #names == 0 then
    redis.call('UNLINK', by_end(place), by_name(place))
    redis.call('LREM', opening .. 'garbage', -1, place)
end
return math.max(#names, 1)
"""
)
"""Take at most so many values that nobody can be served out of the server, and return how many were looked at.

Keys: the first hash of the log, for its name. Argument: how many.
"""
