------------------------------- MODULE Shards -------------------------------
(***************************************************************************)
(* A key whose values lie in another slot of a cluster than the log, and   *)
(* the three steps of its invalidation: its shard takes the value out and  *)
(* keeps no load; the log gets the record; its shard raises the floor and  *)
(* goes on.  The shard's master may be replaced by a replica that missed   *)
(* the last writes, may go on answering, and may take its place again; its *)
(* guard may be evicted, and marks be forgotten.                           *)
(*                                                                         *)
(* StrictClear.tla has leases and acknowledgements; here an invalidation   *)
(* waits until each node has obeyed its record, or follows a later         *)
(* incarnation.  A value is known by how many invalidations had been       *)
(* called when its load began.                                             *)
(***************************************************************************)
EXTENDS Naturals, FiniteSets, TLC

CONSTANTS
    Nodes,              \* machines with a mirror, a near copy, and a load under way
    MaxInvalidations,   \* how many invalidations of the key there are
    MaxIncarnations,    \* how many incarnations of the log there are
    MaxFaults,          \* how often the shard is replaced, or its guard evicted
    Mutation            \* what is left out of the protocol; "none" for nothing

Invalidations == 1..MaxInvalidations
Incarnations == 1..MaxIncarnations
Servers == {"old", "new"}           \* the shard's first master, and its replica
Nobody == MaxInvalidations + 1      \* the birth of the value that is not there

VARIABLES
    log,        \* [inc, head]
    seal,       \* of each incarnation: the seal that the log knows of the shard; 0 for none
    made,       \* how many guards were made
    memory,     \* of each server: the guard, the key's floor, the marks of changes, the value
    role,       \* of each server: its identity while it is a master, 0 while it is none
    faults,     \* how many there were
    mirror,     \* of each node: [inc, head]
    near,       \* of each node: the birth of its copy
    task,       \* of each node: its load under way
    change,     \* of each invalidation: how far it is
    calls,      \* how many invalidations were called
    must        \* the last invalidation that returned success

vars == <<log, seal, made, memory, role, faults, mirror, near, task, change, calls, must>>

Max(a, b) == IF a > b THEN a ELSE b
None == [inc |-> 0, born |-> Nobody]
Empty == [inc |-> 0, seal |-> 0, id |-> 0, floor |-> 0, marks |-> {}, value |-> None]
Idle == [pc |-> "idle", inc |-> 0, head |-> 0, born |-> Nobody]
NoChange == [pc |-> "none", inc |-> 0, head |-> 0]
Over == calls = MaxInvalidations

Masters == {s \in Servers : role[s] # 0}

(* A process keeps its run_id while it changes roles.                      *)
Run(id) == IF id = 3 THEN 1 ELSE id

Init ==
    /\ log = [inc |-> 1, head |-> 0]
    /\ seal = [i \in Incarnations |-> 0]
    /\ made = 0
    /\ memory = [s \in Servers |-> Empty]
    /\ role = [s \in Servers |-> IF s = "old" THEN 1 ELSE 0]
    /\ faults = 0
    /\ mirror = [n \in Nodes |-> [inc |-> 1, head |-> 0]]
    /\ near = [n \in Nodes |-> Nobody]
    /\ task = [n \in Nodes |-> Idle]
    /\ change = [c \in Invalidations |-> NoChange]
    /\ calls = 0
    /\ must = 0

-----------------------------------------------------------------------------
(* Guards.                                                                 *)

Sealed(s, i) ==
    /\ memory[s].inc = i
    /\ \/ seal[i] # 0 /\ memory[s].seal = seal[i]
       \/ Mutation = "any seal"

Fits(s, i) == Sealed(s, i) /\ (memory[s].id = role[s] \/ Mutation = "any server")

Believed(s, i) ==
    /\ Sealed(s, i)
    /\ \/ memory[s].id = role[s]
       \/ Mutation = "any server"
       \/ Mutation = "run_id alone" /\ Run(memory[s].id) = Run(role[s])

Make(s) ==
    /\ s \in Masters
    /\ seal[log.inc] = 0 \/ Mutation = "any seal"
    /\ memory[s].inc # log.inc \/ memory[s].id # role[s]
    /\ made' = made + 1
    /\ memory' = [memory EXCEPT ![s] = [Empty EXCEPT !.inc = log.inc, !.seal = made', !.id = role[s],
                                                     !.value = memory[s].value]]
    /\ UNCHANGED <<log, seal, role, faults, mirror, near, task, change, calls, must>>

Register(s) ==
    /\ s \in Masters
    /\ seal[log.inc] = 0
    /\ memory[s].inc = log.inc
    /\ memory[s].id = role[s]
    /\ seal' = [seal EXCEPT ![log.inc] = memory[s].seal]
    /\ UNCHANGED <<log, made, memory, role, faults, mirror, near, task, change, calls, must>>

(* Whoever finds that a guard does not fit has a new incarnation begin.    *)
Lose(s) ==
    /\ s \in Masters
    /\ log.inc < MaxIncarnations
    /\ seal[log.inc] # 0
    /\ ~(memory[s].inc = log.inc /\ memory[s].seal = seal[log.inc] /\ memory[s].id = role[s])
    /\ log' = [inc |-> log.inc + 1, head |-> 0]
    /\ UNCHANGED <<seal, made, memory, role, faults, mirror, near, task, change, calls, must>>

-----------------------------------------------------------------------------
(* Faults.                                                                 *)

Replicate ==
    /\ role["new"] = 0
    /\ memory["new"] # memory["old"]
    /\ memory' = [memory EXCEPT !["new"] = memory["old"]]
    /\ UNCHANGED <<log, seal, made, role, faults, mirror, near, task, change, calls, must>>

(* The replica becomes a master; the other one may not know it.            *)
Promote ==
    /\ role["new"] = 0
    /\ faults < MaxFaults
    /\ faults' = faults + 1
    /\ role' = [role EXCEPT !["new"] = 2]
    /\ UNCHANGED <<log, seal, made, memory, mirror, near, task, change, calls, must>>

(* The former master has what the other one has, and takes its place.      *)
Return ==
    /\ role["new"] = 2
    /\ role["old"] = 1
    /\ faults < MaxFaults
    /\ faults' = faults + 1
    /\ role' = [role EXCEPT !["old"] = 3, !["new"] = 0]
    /\ memory' = [memory EXCEPT !["old"] = memory["new"]]
    /\ UNCHANGED <<log, seal, made, mirror, near, task, change, calls, must>>

Evict(s) ==
    /\ s \in Masters
    /\ faults < MaxFaults
    /\ memory[s].inc # 0
    /\ faults' = faults + 1
    /\ memory' = [memory EXCEPT ![s] = [Empty EXCEPT !.value = memory[s].value]]
    /\ UNCHANGED <<log, seal, made, role, mirror, near, task, change, calls, must>>

Forget(s) ==
    /\ memory[s].marks # {}
    /\ memory' = [memory EXCEPT ![s].marks = {}]
    /\ UNCHANGED <<log, seal, made, role, faults, mirror, near, task, change, calls, must>>

-----------------------------------------------------------------------------
(* A node obeys the log, loads, and reads.                                 *)

Obey(n) ==
    /\ mirror[n] # log
    /\ mirror' = [mirror EXCEPT ![n] = log]
    /\ near' = [near EXCEPT ![n] = Nobody]
    /\ UNCHANGED <<log, seal, made, memory, role, faults, task, change, calls, must>>

Load(n) ==
    /\ task[n].pc = "idle"
    /\ ~Over
    /\ task' = [task EXCEPT ![n] = [pc |-> "loading", inc |-> mirror[n].inc, head |-> mirror[n].head, born |-> calls]]
    /\ UNCHANGED <<log, seal, made, memory, role, faults, mirror, near, change, calls, must>>

(* The value is kept at the shard, however late, and copied where its      *)
(* node has obeyed nothing since.                                          *)
Keep(n, s) ==
    LET t == task[n] m == memory[s] IN
    /\ t.pc = "loading"
    /\ s \in Masters
    /\ Sealed(s, t.inc)
    /\ t.head >= m.floor \/ Mutation = "no floor"
    /\ m.marks = {} \/ Mutation = "no mark"
    /\ memory' = [memory EXCEPT ![s].value = [inc |-> t.inc, born |-> t.born]]
    /\ near' = [near EXCEPT ![n] = IF mirror[n] = [inc |-> t.inc, head |-> t.head] THEN t.born ELSE @]
    /\ task' = [task EXCEPT ![n] = Idle]
    /\ UNCHANGED <<log, seal, made, role, faults, mirror, change, calls, must>>

Found(n, s) == s \in Masters /\ Believed(s, mirror[n].inc) /\ memory[s].value.inc = mirror[n].inc

Get(n, s) ==
    /\ near[n] = Nobody
    /\ Found(n, s)
    /\ near' = [near EXCEPT ![n] = memory[s].value.born]
    /\ UNCHANGED <<log, seal, made, memory, role, faults, mirror, task, change, calls, must>>

-----------------------------------------------------------------------------
(* An invalidation of the key.                                             *)

Call ==
    /\ ~Over
    /\ calls' = calls + 1
    /\ change' = [change EXCEPT ![calls'].pc = "begun"]
    /\ UNCHANGED <<log, seal, made, memory, role, faults, mirror, near, task, must>>

Open(c, s) ==
    /\ change[c].pc = "begun"
    /\ s \in Masters
    /\ Fits(s, log.inc)
    /\ memory' = IF Mutation = "told afterwards" THEN memory
                 ELSE [memory EXCEPT ![s].marks = @ \cup {c}, ![s].value = None]
    /\ change' = [change EXCEPT ![c] = [pc |-> "open", inc |-> log.inc, head |-> 0]]
    /\ UNCHANGED <<log, seal, made, role, faults, mirror, near, task, calls, must>>

Record(c) ==
    /\ change[c].pc = "open"
    /\ IF log.inc = change[c].inc
       THEN /\ log' = [log EXCEPT !.head = @ + 1]
            /\ change' = [change EXCEPT ![c].pc = "recorded", ![c].head = log'.head]
       ELSE /\ log' = log
            /\ change' = [change EXCEPT ![c].pc = "begun"]
    /\ log'.head <= 2 * MaxInvalidations
    /\ UNCHANGED <<seal, made, memory, role, faults, mirror, near, task, calls, must>>

Close(c, s) ==
    LET known == c \in memory[s].marks \/ Mutation \in {"mark not asked for", "told afterwards"}
        value == IF Mutation = "told afterwards" THEN None ELSE memory[s].value IN
    /\ change[c].pc = "recorded"
    /\ s \in Masters
    /\ IF Fits(s, change[c].inc) /\ known
       THEN /\ memory' = [memory EXCEPT ![s].marks = @ \ {c}, ![s].floor = Max(@, change[c].head), ![s].value = value]
            /\ change' = [change EXCEPT ![c].pc = "waiting"]
       ELSE /\ memory' = memory
            /\ change' = [change EXCEPT ![c].pc = "begun"]
    /\ UNCHANGED <<log, seal, made, role, faults, mirror, near, task, calls, must>>

Succeed(c) ==
    /\ change[c].pc = "waiting"
    /\ \A n \in Nodes : \/ mirror[n].inc > change[c].inc
                        \/ mirror[n].inc = change[c].inc /\ mirror[n].head >= change[c].head
    /\ change' = [change EXCEPT ![c] = [NoChange EXCEPT !.pc = "done"]]
    /\ must' = Max(must, c)
    /\ UNCHANGED <<log, seal, made, memory, role, faults, mirror, near, task, calls>>

-----------------------------------------------------------------------------
Next ==
    \/ Replicate \/ Promote \/ Return \/ Call
    \/ \E s \in Servers : Make(s) \/ Register(s) \/ Lose(s) \/ Evict(s) \/ Forget(s)
    \/ \E n \in Nodes : Obey(n) \/ Load(n) \/ \E s \in Servers : Keep(n, s) \/ Get(n, s)
    \/ \E c \in Invalidations : Record(c) \/ Succeed(c) \/ \E s \in Servers : Open(c, s) \/ Close(c, s)

Spec == Init /\ [][Next]_vars

(* Once all that was loaded before the last call is gone from everywhere   *)
(* there is nothing left to look for.                                      *)
StillOld ==
    \/ ~Over
    \/ \E n \in Nodes : near[n] # Nobody \/ task[n].pc # "idle"
    \/ \E s \in Servers : memory[s].value # None

Symmetry == Permutations(Nodes)

-----------------------------------------------------------------------------
(* birth(value served by a read that starts after an invalidation returned *)
(* success) >= its call: a near copy, or a value of the shard.             *)
StrictClear ==
    \A n \in Nodes : /\ near[n] >= must
                     /\ \A s \in Servers : Found(n, s) => memory[s].value.born >= must

=============================================================================
