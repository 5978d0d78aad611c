----------------------------- MODULE SplitBrain -----------------------------
(***************************************************************************)
(* Two masters: one that was deposed and does not know it, and the replica *)
(* that was promoted in its place.  Agents and clears reach either.  What  *)
(* bounds the leases of the deposed one is that a renewal is a lease only  *)
(* when every replica knows of it; what keeps a clear there from being     *)
(* called done is the same rule for its record.                            *)
(*                                                                         *)
(* Loads take no time here, a State obeys its mirror at once, and only     *)
(* everything is invalidated: StrictClear.tla has the rest.  A value is    *)
(* known by how many invalidations had been called when it was loaded.     *)
(***************************************************************************)
EXTENDS Naturals, FiniteSets, TLC

CONSTANTS
    Nodes,              \* machines with an agent, a mirror and a near copy
    MaxInvalidations,   \* how many clears there are
    D,                  \* for how many ticks a lease lasts
    Mutation            \* what is left out of the protocol; "none" for nothing

Invalidations == 1..MaxInvalidations
Old == 1                \* the first master, and its incarnation
New == 2                \* the promoted replica, and the incarnation that begins there
Servers == {Old, New}
Nobody == MaxInvalidations + 1  \* the birth of the value that is not there

VARIABLES
    promoted,   \* whether the replica is a master
    unknown,    \* what the old master did since the replica last heard of it: renewals of nodes, and clears
    server,     \* of each server: [head, members, values]; values of a generation: {[gen, born]}
    agent,      \* of each node: what its agent is at, with whom, the age of its t0, the head that it was told of
    mirror,     \* of each node: [inc, head]
    lease,      \* of each node: for how many ticks its published lease still holds
    near,       \* of each node: the birth of its copy
    age,        \* ticks since the replica was promoted, before which nobody sees its incarnation
    calls,      \* how many clears were called
    clear,      \* of each clear: how far it is
    must        \* the last clear that returned success

vars == <<promoted, unknown, server, agent, mirror, lease, near, age, calls, clear, must>>

Idle == [pc |-> "idle", with |-> Old, age |-> 0, head |-> 0]
NoClear == [pc |-> "none", with |-> Old, sequence |-> 0, pending |-> {}, told |-> FALSE, mature |-> FALSE,
            waited |-> 0]

Capped(t) == IF t < D THEN t + 1 ELSE D
Over == calls = MaxInvalidations    \* nobody asks for members or maturity any more
Max(a, b) == IF a > b THEN a ELSE b
Masters == IF promoted THEN Servers ELSE {Old}

Init ==
    /\ promoted = FALSE
    /\ unknown = {}
    /\ server = [s \in Servers |-> [head |-> 0, members |-> {}, values |-> {}]]
    /\ agent = [n \in Nodes |-> Idle]
    /\ mirror = [n \in Nodes |-> [inc |-> Old, head |-> 0]]
    /\ lease = [n \in Nodes |-> 0]
    /\ near = [n \in Nodes |-> Nobody]
    /\ age = 0
    /\ calls = 0
    /\ clear = [c \in Invalidations |-> NoClear]
    /\ must = 0

-----------------------------------------------------------------------------
Tick ==
    /\ agent' = [n \in Nodes |-> IF agent[n].pc = "idle" THEN Idle ELSE [agent[n] EXCEPT !.age = Capped(@)]]
    /\ lease' = [n \in Nodes |-> IF lease[n] > 0 THEN lease[n] - 1 ELSE 0]
    /\ age' = IF promoted /\ ~Over THEN Capped(age) ELSE age
    /\ clear' = [c \in Invalidations |-> IF clear[c].pc # "waiting" THEN clear[c]
                                         ELSE [clear[c] EXCEPT !.waited = Capped(@)]]
    /\ UNCHANGED <<promoted, unknown, server, mirror, near, calls, must>>

(* The replica hears of all that the old master did, in its order, as long *)
(* as it follows it.                                                       *)
Replicate ==
    /\ ~promoted
    /\ unknown # {}
    /\ unknown' = {}
    /\ UNCHANGED <<promoted, server, agent, mirror, lease, near, age, calls, clear, must>>

(* The hash that the replica has carries another identity, so the first    *)
(* script there drops it and begins an incarnation.                        *)
Promote ==
    /\ ~promoted
    /\ promoted' = TRUE
    /\ UNCHANGED <<unknown, server, agent, mirror, lease, near, age, calls, clear, must>>

-----------------------------------------------------------------------------
(* The agent of a node; t0 is as late as it may be, as in StrictClear.tla. *)

Renew(n, s) ==
    /\ agent[n].pc = "idle"
    /\ server' = [server EXCEPT ![s].members = IF Over THEN @ ELSE @ \cup {n}]
    /\ unknown' = IF s = Old THEN unknown \cup {<<"renewal", n>>} ELSE unknown
    /\ agent' = [agent EXCEPT ![n] = [pc |-> "answered", with |-> s, age |-> 0, head |-> server[s].head]]
    /\ UNCHANGED <<promoted, mirror, lease, near, age, calls, clear, must>>

Apply(n) ==
    LET new == [inc |-> agent[n].with, head |-> agent[n].head] IN
    /\ agent[n].pc = "answered"
    /\ mirror' = [mirror EXCEPT ![n] = new]
    /\ near' = [near EXCEPT ![n] = IF mirror[n] = new THEN @ ELSE Nobody]
    /\ lease' = [lease EXCEPT ![n] = IF mirror[n].inc = new.inc THEN @ ELSE 0]
    /\ agent' = [agent EXCEPT ![n].pc = "applied"]
    /\ UNCHANGED <<promoted, unknown, server, age, calls, clear, must>>

(* It acknowledges whether or not the replica knows of it, since what it   *)
(* has applied holds in either case.                                       *)
Acknowledge(n) ==
    LET s == agent[n].with IN
    /\ agent[n].pc = "applied"
    /\ clear' = [c \in Invalidations |-> IF /\ clear[c].pc = "waiting"
                                            /\ clear[c].with = s
                                            /\ clear[c].sequence <= agent[n].head
                                         THEN [clear[c] EXCEPT !.pending = @ \ {n}] ELSE clear[c]]
    /\ agent' = [agent EXCEPT ![n].pc = "acknowledged"]
    /\ UNCHANGED <<promoted, unknown, server, mirror, lease, near, age, calls, must>>

(* WAIT: each replica has heard of the renewal, or there is no lease.  The  *)
(* promoted server has none.  The answer comes sooner; this is the latest  *)
(* moment for the replica to have heard of it.                             *)
Publish(n) ==
    /\ agent[n].pc = "acknowledged"
    /\ \/ agent[n].with = New
       \/ <<"renewal", n>> \notin unknown
       \/ Mutation = "renewal not waited for"
    /\ unknown' = unknown \ {<<"renewal", n>>}
    /\ lease' = [lease EXCEPT ![n] = D - agent[n].age]
    /\ agent' = [agent EXCEPT ![n] = Idle]
    /\ UNCHANGED <<promoted, server, mirror, near, age, calls, clear, must>>

Die(n) ==
    /\ agent[n].pc # "idle"
    /\ agent' = [agent EXCEPT ![n] = Idle]
    /\ unknown' = unknown \ {<<"renewal", n>>}
    /\ UNCHANGED <<promoted, server, mirror, lease, near, age, calls, clear, must>>

-----------------------------------------------------------------------------
(* Reads, which need a lease: where there are replicas a server's own word *)
(* is worth nothing.                                                       *)

Ready(n) == lease[n] > 0

Load(n) ==
    /\ Ready(n)
    /\ near[n] = Nobody
    /\ ~Over    \* what is loaded after the last call can never be old
    /\ near' = [near EXCEPT ![n] = calls]
    /\ UNCHANGED <<promoted, unknown, server, agent, mirror, lease, age, calls, clear, must>>

(* The value goes to the server under a name that carries incarnation and  *)
(* generation, and comes from there.                                       *)
Put(n) ==
    LET s == mirror[n].inc IN
    /\ Ready(n)
    /\ near[n] # Nobody
    /\ server[s].head = mirror[n].head
    /\ server' = [server EXCEPT ![s].values = {v \in @ : v.gen # mirror[n].head}
                                              \cup {[gen |-> mirror[n].head, born |-> near[n]]}]
    /\ UNCHANGED <<promoted, unknown, agent, mirror, lease, near, age, calls, clear, must>>

Found(n) == {v \in server[mirror[n].inc].values : v.gen = mirror[n].head}

Get(n) ==
    /\ Ready(n)
    /\ near[n] = Nobody
    /\ \E v \in Found(n) : near' = [near EXCEPT ![n] = v.born]
    /\ UNCHANGED <<promoted, unknown, server, agent, mirror, lease, age, calls, clear, must>>

-----------------------------------------------------------------------------
Call(s) ==
    LET sequence == server[s].head + 1 c == calls + 1 IN
    /\ calls < MaxInvalidations
    /\ calls' = c
    /\ server' = [t \in Servers |-> [server[t] EXCEPT !.head = IF t = s THEN sequence ELSE @,
                                                     !.members = IF c = MaxInvalidations THEN {} ELSE @]]
    /\ age' = IF c = MaxInvalidations THEN 0 ELSE age
    /\ unknown' = IF s = Old THEN unknown \cup {<<"clear", c>>} ELSE unknown
    /\ clear' = [clear EXCEPT ![c] = [pc |-> "waiting", with |-> s, sequence |-> sequence,
                                      pending |-> server[s].members, told |-> s = New,
                                      mature |-> s = Old \/ age = D, waited |-> 0]]
    /\ UNCHANGED <<promoted, agent, mirror, lease, near, must>>

(* WAIT, for the record of a clear; where it fails there is no success.    *)
Told(c) == clear[c].told \/ <<"clear", c>> \notin unknown \/ Mutation = "clear not waited for"

Succeed(c) ==
    /\ clear[c].pc = "waiting"
    /\ Told(c)
    /\ \/ clear[c].pending = {} /\ clear[c].mature
       \/ clear[c].waited = D
    /\ clear' = [clear EXCEPT ![c] = [NoClear EXCEPT !.pc = "done"]]
    /\ must' = Max(must, c)
    /\ UNCHANGED <<promoted, unknown, server, agent, mirror, lease, near, age, calls>>

-----------------------------------------------------------------------------
Next ==
    \/ Tick
    \/ Replicate
    \/ Promote
    \/ \E n \in Nodes :
        \/ \E s \in Masters : Renew(n, s)
        \/ Apply(n) \/ Acknowledge(n) \/ Publish(n) \/ Die(n)
        \/ Load(n) \/ Put(n) \/ Get(n)
    \/ \E s \in Masters : Call(s)
    \/ \E c \in Invalidations : Succeed(c)

Spec == Init /\ [][Next]_vars

(* Once all that was loaded before the last call is gone from everywhere   *)
(* there is nothing left to look for.                                      *)
StillOld ==
    \/ ~Over
    \/ \E n \in Nodes : near[n] # Nobody
    \/ \E s \in Servers : server[s].values # {}

Symmetry == Permutations(Nodes)

-----------------------------------------------------------------------------
(* birth(value served by a read that starts after an invalidation returned *)
(* success) >= its call: a near copy, or a value of the server.            *)
StrictClear ==
    \A n \in Nodes : Ready(n) => /\ near[n] >= must
                                 /\ \A v \in Found(n) : v.born >= must

=============================================================================
